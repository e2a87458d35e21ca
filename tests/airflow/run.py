"""Runs the DAG of `recipes/` on Airflow, over the real program.

Called by `tests/it/recipes.rs` as `run.py dag PLAN`; the plan names the program, the sources, and a folder with a
configuration whose Bitbucket is slow once. A scheduler's whole run must succeed; the operator alone must answer each
exit code with the exception that Airflow retries, or the one that it does not.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import threading
import time


def main():
    plan = json.loads(pathlib.Path(sys.argv[2]).read_text())
    folder = pathlib.Path(plan["folder"])
    dags, tools = folder / "dags", folder / "tools"
    dags.mkdir()
    tools.mkdir()
    (tools / "bitlake").symlink_to(plan["program"])
    recipe = (pathlib.Path(plan["root"]) / "recipes/bitlake_dag.py").read_text()
    assert '"5h"' in recipe
    hurried = folder / "hurried.py"
    hurried.write_text(recipe.replace('"5h"', '"1s"'))
    (dags / "bitlake_dag.py").write_text(recipe)
    os.environ |= {
        "PATH": f"{tools}:{pathlib.Path(sys.executable).parent}:/usr/bin:/bin",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "BITLAKE_CONFIG": str(folder / "bitlake.toml"),
        "BITBUCKET_TOKEN": "good",
    }
    airflow = lambda *args: subprocess.run(["airflow", *args], capture_output=True, text=True)
    made = airflow("db", "migrate")
    assert made.returncode == 0, made.stdout + made.stderr

    operator_answers_each_exit_code(hurried)
    tested = airflow("dags", "test", "bitlake")
    said = tested.stdout + tested.stderr
    assert tested.returncode == 0 and "state=success" in said, said
    fresh = subprocess.run(["bitlake", "--config", folder / "bitlake.toml", "status", "--max-age", "1h"])
    assert fresh.returncode == 0


def operator_answers_each_exit_code(path):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    spec = importlib.util.spec_from_file_location("hurried", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    task = module.BitlakeRun(task_id="alone")

    def answer(**env):
        before = dict(os.environ)
        os.environ |= env
        try:
            return task.execute({})
        except AirflowException as error:
            return error
        finally:
            os.environ.clear()
            os.environ |= before

    unfinished = answer()
    assert type(unfinished) is AirflowException and "exit code 4" in str(unfinished), unfinished
    refused = answer(BITBUCKET_TOKEN="bad")
    assert type(refused) is AirflowFailException and "exit code 3" in str(refused), refused
    wrong = answer(BITLAKE_CONFIG="nowhere.toml")
    assert type(wrong) is AirflowFailException and "exit code 2" in str(wrong), wrong

    # Killed by Airflow, the program ends by itself.
    killer = threading.Thread(target=lambda: (time.sleep(0.3), task.on_kill()))
    killer.start()
    answer()
    killer.join()
    assert task.process.returncode is not None


if __name__ == "__main__":
    main()
