"""Runs the DAG of `recipes/` on Airflow, over the real program.

Called by `tests/it/recipes.rs` as `run.py dag PLAN`; the plan names the program, the sources, and a folder with a
configuration whose Bitbucket is slow twice. A scheduler's whole run must succeed; the operator alone must answer each
exit code with the exception that Airflow retries, or the one that it does not.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import threading


def main():
    plan = json.loads(pathlib.Path(sys.argv[2]).read_text())
    folder = pathlib.Path(plan["folder"])
    dags, tools = folder / "dags", folder / "tools"
    dags.mkdir()
    tools.mkdir()
    (tools / "bitlake").symlink_to(plan["program"])
    recipe = (pathlib.Path(plan["root"]) / "recipes/bitlake_dag.py").read_text()
    command = '"run", "--deadline", "5h"'
    assert command in recipe
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

    # The transform has no part in an exit code, and takes most of the time.
    brief = lambda deadline: recipe.replace(command, f'"collect", "--deadline", "{deadline}"')
    operator_answers_each_exit_code(load(folder, brief("1s")))
    operator_ends_the_program(load(folder, brief("5h")))
    tested = airflow("dags", "test", "bitlake")
    said = tested.stdout + tested.stderr
    assert tested.returncode == 0 and "state=success" in said, said
    fresh = subprocess.run(["bitlake", "--config", folder / "bitlake.toml", "status", "--max-age", "1h"])
    assert fresh.returncode == 0


def load(folder, text):
    path = folder / "copy.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("copy_of_the_recipe", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BitlakeRun(task_id="alone")


def answer(task, **env):
    from airflow.sdk.exceptions import AirflowException

    before = dict(os.environ)
    os.environ |= env
    try:
        return task.execute({})
    except AirflowException as error:
        return error
    finally:
        os.environ.clear()
        os.environ |= before


def operator_answers_each_exit_code(task):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    unfinished = answer(task)
    assert type(unfinished) is AirflowException and "exit code 4" in str(unfinished), unfinished
    refused = answer(task, BITBUCKET_TOKEN="bad")
    assert type(refused) is AirflowFailException and "exit code 3" in str(refused), refused
    wrong = answer(task, BITLAKE_CONFIG="nowhere.toml")
    assert type(wrong) is AirflowFailException and "exit code 2" in str(wrong), wrong


def operator_ends_the_program(task):
    """Bitbucket is slow now, so it is still at work when Airflow kills the task."""
    killer = threading.Timer(4, task.on_kill)
    killer.start()
    ended = answer(task)
    killer.join()
    assert "exit code 4" in str(ended), ended


if __name__ == "__main__":
    main()
