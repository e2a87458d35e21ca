"""Airflow 3: run bitlake every night, on a worker that has the program, BITLAKE_CONFIG and the variables of the configuration."""

import subprocess
from datetime import timedelta

import pendulum
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

DONE = (0, 1)  # 1: finished, but a list is stale; the log names it
LATER = (4, 5)  # deadline or quota; another run holds the lake


class BitlakeRun(BaseOperator):
    """One `bitlake run`. Its exit code decides whether Airflow retries it."""

    def execute(self, context):
        self.process = subprocess.Popen(["bitlake", "run", "--deadline", "5h"])
        code = self.process.wait()
        if code in DONE:
            return code
        if code in LATER:
            raise AirflowException(f"exit code {code}: the next try resumes")
        raise AirflowFailException(f"exit code {code}: the configuration or the credentials need a change")

    def on_kill(self):
        # After SIGTERM bitlake saves its state within twenty seconds.
        self.process.terminate()


with DAG(
    dag_id="bitlake",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    max_active_runs=1,
):
    # An hour after exit 4 the hourly quota is available again.
    BitlakeRun(
        task_id="run",
        retries=20,
        retry_delay=timedelta(hours=1),
        execution_timeout=timedelta(hours=6),
    )
