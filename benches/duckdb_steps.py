"""Runs the SQL of a transform's steps on DuckDB, one after the other, and prints what each took.

Called by `benches/transform.rs` with a plan (JSON). Each step reads Parquet files and writes its table as one. A native step
is not run: its table is the files that bitlake made. Prints a JSON object: `steps`, the seconds by table; `rows` likewise.
"""

import json
import os
import sys
import time

import duckdb


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def files_sql(files):
    listed = ", ".join(quoted(file) for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def connect(plan):
    connection = duckdb.connect()
    connection.execute(plan["prelude"])
    connection.execute(f"SET memory_limit = '{plan['memory_limit']}B'")
    connection.execute(f"SET threads = {plan['threads']}")
    connection.execute(f"SET temp_directory = {quoted(plan['folder'])}")
    for layer in plan["layers"]:
        connection.execute(f'CREATE SCHEMA "{layer}"')
    for name, files in plan["tables"].items():
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {files_sql(files)}")
    return connection


def typed(connection, step):
    """The step's query with the types of bitlake's table, which both engines convert to."""
    columns = connection.execute(f"DESCRIBE SELECT * FROM {files_sql(step['files'])}").fetchall()
    casts = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind, *_ in columns)
    return f"SELECT {casts} FROM ({step['sql']}\n) AS step"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    connection = connect(plan)
    steps, rows = {}, {}
    for step in plan["steps"]:
        name, files = step["table"], step["files"]
        if step["sql"] is not None:
            sql = typed(connection, step)
            files = [os.path.join(plan["folder"], f"{name}.parquet")]
            started = time.perf_counter()
            copied = connection.execute(f"COPY ({sql}) TO {quoted(files[0])} (FORMAT parquet, COMPRESSION zstd)")
            steps[name], rows[name] = time.perf_counter() - started, copied.fetchone()[0]
        connection.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM {files_sql(files)}")
    print(json.dumps({"steps": steps, "rows": rows}))


if __name__ == "__main__":
    main()
