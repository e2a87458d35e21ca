"""Airflow 3: bitlake every night, on a worker that has the program, BITLAKE_CONFIG and the variables that it names."""

import subprocess
from datetime import timedelta

import pendulum
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

DONE = (0, 1)  # 1: finished, but something is stale; the log names it
LATER = (4, 5)  # deadline or quota; another run holds the lake


class BitlakeRun(BaseOperator):
    """One `bitlake run`, whose exit code says whether another try helps."""

    def execute(self, context):
        self.process = subprocess.Popen(["bitlake", "run", "--deadline", "5h"])
        code = self.process.wait()
        if code in DONE:
            return code
        if code in LATER:
            raise AirflowException(f"exit code {code}: it goes on with the next try")
        raise AirflowFailException(f"exit code {code}: somebody has to mend configuration or credentials first")

    def on_kill(self):
        # SIGTERM: saves what was collected, within twenty seconds.
        self.process.terminate()


with DAG(
    dag_id="bitlake",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    max_active_runs=1,
):
    # An hour after exit 4 all requests are there again.
    BitlakeRun(
        task_id="run",
        retries=20,
        retry_delay=timedelta(hours=1),
        execution_timeout=timedelta(hours=6),
    )
