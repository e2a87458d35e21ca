"""Builds the dbt project that `bitlake steps` writes, and compares its tables with the lake.

Called by `tests/it/dbt.rs`: `run.py build PLAN` runs `dbt build` on DuckDB and compares each model's types and rows with
the lake's files; `run.py parse PLAN` reads the projects of other engines. Prints one paragraph per failure; the exit code
is 1 when there is one.
"""

import json
import os
import sys

SHOWN = 3
# A profile with which dbt reads a project of any engine.
PROFILE = "bitlake: {target: dev, outputs: {dev: {type: duckdb, path: ':memory:', schema: bitlake}}}\n"


def dbt(project, *arguments):
    """Run a command of dbt, and return its result and why it failed."""
    from dbt.cli.main import dbtRunner

    os.chdir(project)
    result = dbtRunner().invoke([*arguments, "--quiet", "--no-use-colors", "--profiles-dir", project])
    failures = [] if result.success else [str(result.exception or "failed")]
    nodes = result.result if isinstance(getattr(result.result, "results", None), list) else ()
    for node in nodes:
        if node.status not in ("success", "pass"):
            failures.append(f"{node.node.name}: {node.status}: {node.message}")
    return result.result, failures


def differences(connection, table, files):
    """Why a model is not the lake's table; empty when it is."""
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    lake = f"read_parquet([{listed}], hive_partitioning = false)"
    kinds = [
        [(name, kind) for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * FROM {of}").fetchall()]
        for of in (table, lake)
    ]
    if kinds[0] != kinds[1]:
        return [f"types: {sorted(set(kinds[0]) ^ set(kinds[1]))}"]
    # Sums and percentiles of doubles differ in their last digits.
    doubles = [f"format('{{:.9e}}', \"{name}\") AS \"{name}\"" for name, kind in kinds[0] if kind == "DOUBLE"]
    rows = f"* REPLACE ({', '.join(doubles)})" if doubles else "*"
    found = []
    for name, one, other in (("only dbt", table, lake), ("only lake", lake, table)):
        left = connection.execute(f"SELECT {rows} FROM {one} EXCEPT ALL SELECT {rows} FROM {other}").fetchall()
        found += [f"{name}: {len(left)} rows"] if left else []
        found += [f"    {row}" for row in sorted(map(repr, left))[:SHOWN]]
    return found


def build(plan):
    import duckdb

    results, failures = dbt(plan["project"], "build")
    yield "dbt build", failures
    kinds = [node.node.resource_type.value for node in results]
    if kinds.count("test") < 500 or kinds.count("model") != len(plan["models"]):
        yield "nodes", [f"{kinds.count('model')} models, {kinds.count('test')} tests"]
    connection = duckdb.connect(f"{plan['project']}/bitlake.duckdb")
    connection.execute("SET TimeZone = 'UTC'")
    for model in plan["models"]:
        layer, name = model.split(".")
        files = plan["tables"].get(model)
        if files:
            yield model, differences(connection, f'bitlake_{layer}."{name}"', files)
        elif layer != "base":
            yield model, ["the lake does not have it"]


def parse(plan):
    for dialect, project in plan["projects"].items():
        with open(f"{project}/profiles.yml", "w", encoding="utf-8") as file:
            file.write(PROFILE)
        yield dialect, dbt(project, "parse")[1]


def main():
    command, path = sys.argv[1:]
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    results = list({"build": build, "parse": parse}[command](plan))
    failures = [(name, found) for name, found in results if found]
    for name, found in failures:
        print(name)
        for line in found:
            print(f"    {line}")
    print(f"{len(results)} checked, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
