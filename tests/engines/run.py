"""Runs the bundled SQL on a second engine and writes it in other dialects, and says what differs.

A step's or a report's SQL is trusted because two engines that share no code give the same rows for it. Called by
`tests/it/engines.rs` with a plan (JSON): `run.py rows PLAN` compares DuckDB's rows with DataFusion's, `run.py sail PLAN`
runs what is printed for Spark on Sail, `run.py dialects PLAN` transpiles with sqlglot. Prints one paragraph per failure;
the exit code is 1 when there is one.
"""

import datetime
import decimal
import json
import math
import re
import sys

DIALECTS = ["snowflake", "bigquery", "redshift", "databricks", "trino", "spark"]
# What Sail cannot run, and why. An exception that runs is a failure, so that this list only shrinks.
RECURSION = "it has no WITH RECURSIVE"
RECOVERY = "queries/reports/dora_debug/recovery_time_recomputed.sql"
SAIL_LACKS = {
    "queries/dora/reverts.sql": RECURSION,
    "queries/reports/weekly_bug_retro/closed_bugs_by_week.sql": RECURSION,
    "queries/reports/weekly_bug_retro/new_bugs_by_week.sql": RECURSION,
    "queries/reports/weekly_bug_retro/outstanding_bugs_by_week.sql": RECURSION,
    f"{RECOVERY} project=checkout,platform interval=week report=2021": "it cannot plan a union with a branch that is never true",
}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
# Sums and interpolated percentiles of doubles differ in their last digits.
RELATIVE, ABSOLUTE = 1e-9, 1e-9
SHOWN = 3
# What the text says of percentiles that the dialect has no exact words for: it is parsed, and not run.
APPROXIMATE = "-- Note: percentiles"


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def literal(param):
    """A parameter's text as the typed value that DataFusion got."""
    kind, text = param["type"], param["text"]
    duck = kind.replace("timestamp", "timestamptz")
    if text == "null":
        return f"CAST(NULL AS {duck})"
    if kind.endswith("[]"):
        items = ", ".join(quoted(part.strip()) for part in text.split(","))
        return f"CAST([{items}] AS {duck})"
    return f"CAST({quoted(text)} AS {duck})"


def plain(value):
    """A value in a form that is the same for every type an engine may have chosen for it."""
    if isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return zoned.astimezone(datetime.timezone.utc)
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same(left, right):
    if is_number(left) and is_number(right):
        if isinstance(left, int) and isinstance(right, int):
            return left == right
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return math.isclose(left, right, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


def sort_key(row):
    """Rows in an order of their own: numbers coarsely, so that last digits do not move them."""
    exact, coarse = [], []
    for value in row:
        if isinstance(value, float):
            coarse.append((1, f"{value:.6g}"))
        elif is_number(value):
            exact.append((1, f"{value:030d}"))
        else:
            exact.append((0, "") if value is None else (1, str(value)))
    return exact, coarse


def shown(row):
    cells = [value.isoformat() if isinstance(value, datetime.datetime) else repr(value) for value in row]
    return "(" + ", ".join(cells) + ")"


def differences(case, names, actual, expected_names, expected, engine="DuckDB"):
    """Why the rows are not the same; empty when they are."""
    if names != expected_names:
        return [f"columns: {engine} {names}, DataFusion {expected_names}"]
    if len(actual) != len(expected):
        found = [f"rows: {engine} {len(actual)}, DataFusion {len(expected)}"]
        ours, theirs = {shown(row) for row in actual}, {shown(row) for row in expected}
        found += [f"only {engine}: {row}" for row in sorted(ours - theirs)[:SHOWN]]
        return found + [f"only DataFusion: {row}" for row in sorted(theirs - ours)[:SHOWN]]
    if not case["ordered"]:
        # A column that is whole on one side may be a double on the other: both sides get the same keys.
        doubles = {n for row in actual + expected for n, value in enumerate(row) if isinstance(value, float)}

        def key(row):
            return sort_key([float(v) if n in doubles and is_number(v) else v for n, v in enumerate(row)])

        actual, expected = sorted(actual, key=key), sorted(expected, key=key)
    found = []
    for n, (ours, theirs) in enumerate(zip(actual, expected)):
        wrong = [name for name, left, right in zip(names, ours, theirs) if not same(left, right)]
        if wrong:
            found.append(f"row {n}: {', '.join(wrong)}\n      {engine} {shown(ours)}\n      DataFusion {shown(theirs)}")
    more = [f"… and {len(found) - SHOWN} rows more"] if len(found) > SHOWN else []
    return found[:SHOWN] + more


def files_sql(files):
    listed = ", ".join(quoted(file) for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def database(plan):
    """A database in which the lake's tables have the names that the queries use."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(plan["prelude"])
    layers = {table["name"].split(".")[0] for table in plan["tables"] + plan["views"]}
    for layer in sorted(layers):
        connection.execute(f'CREATE SCHEMA "{layer}"')
    for table in plan["tables"]:
        # Read once, not once for every query.
        connection.execute(f"CREATE TABLE {table['name']} AS SELECT * FROM {files_sql(table['files'])}")
    for view in plan["views"]:
        connection.execute(f"CREATE TABLE {view['name']} AS {view['sql']}\n")
    return connection


def fetch(connection, sql):
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description]
    return names, [[plain(value) for value in row] for row in cursor.fetchall()]


def run_case(connection, case, expected_names, expected):
    source = files_sql(case["expected"])
    sql = case["sql"]
    if case["is_step"]:
        # What a step's result becomes by its contract, on either engine.
        columns = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        casts = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind, *_ in columns)
        sql = f"SELECT {casts} FROM ({sql}\n) AS step"
    connection.execute(f"PREPARE tested AS {sql}\n")
    arguments = ", ".join(f'"{param["name"]}" := {literal(param)}' for param in case["params"])
    names, actual = fetch(connection, f"EXECUTE tested({arguments})" if arguments else "EXECUTE tested")
    return differences(case, names, actual, expected_names, expected)


def readable(sql, dialect):
    """What sqlglot does not read back: a length that is a word, and `$1` for the first group."""
    backslash = "\\" if dialect == "trino" else "\\\\"
    return re.sub(r"\$(\d)", lambda found: backslash + found[1], sql.replace("VARCHAR(MAX)", "VARCHAR"))


def run_printed(connection, case, printed, expected_names, expected):
    """What `bitlake query --print` shows, read back from its dialect: it means what the query means."""
    from sqlglot import parse_one, transpile

    if "failure" in printed:
        return [printed["failure"]]
    try:
        sql = printed["sql"]
        if APPROXIMATE in sql:
            parse_one(sql, read=printed["dialect"])
            return []
        if printed["dialect"] != "duckdb":
            sql = readable(sql, printed["dialect"])
            sql = transpile(sql, read=printed["dialect"], write="duckdb")[0]
        names, actual = fetch(connection, sql)
        return differences(case, names, actual, expected_names, expected)
    except Exception as error:  # noqa: BLE001
        return [str(error)]


def rows(plan):
    from sqlglot import exp, parse_one

    connection = database(plan)
    for case in plan["cases"]:
        if case.get("failure"):
            yield case["name"], [f"DataFusion: {case['failure']}"]
            continue
        try:
            tree = parse_one(case["sql"], read="duckdb")
            case["ordered"] = tree.args.get("order") is not None
            used = {node.name for node in tree.find_all(exp.Parameter, exp.Placeholder)}
            case["params"] = [param for param in case["params"] if param["name"] in used]
            wanted = fetch(connection, f"SELECT * FROM {files_sql(case['expected'])}")
            found = run_case(connection, case, *wanted)
        except Exception as error:  # noqa: BLE001: whatever it is, it is this file's failure
            found = [str(error)]
        if found:
            yield case["name"], found
        for printed in case.get("printed", []):
            found = run_printed(connection, case, printed, *wanted)
            if found:
                yield f"{case['name']} printed for {printed['dialect']}", found


def sail_session():
    """A session on a Sail server in this process."""
    import logging
    import os
    import warnings

    os.environ.setdefault("RUST_LOG", "error")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return server, session


def sail_tables(session, plan, folder):
    """Tables over copies of the lake's files: a table is a folder, and its partition keys are no columns."""
    import os
    import shutil

    tables = plan["tables"] + plan["views"]
    for layer in sorted({table["name"].split(".")[0] for table in tables}):
        session.sql(f"CREATE DATABASE {layer}")
    for table in tables:
        place = f"{folder}/{table['name']}"
        os.makedirs(place)
        for n, file in enumerate(table["files"]):
            shutil.copy(file, f"{place}/{n}.parquet")
        session.sql(f"CREATE TABLE {table['name']} USING parquet LOCATION {quoted(place)}")


def run_sail(session, connection, case, expected_names, expected):
    printed = case["spark"]
    if "failure" in printed:
        return [printed["failure"]]
    try:
        connection.register("answer", session.sql(printed["sql"].rstrip().rstrip(";")).toArrow())
        if case["is_step"]:
            kinds = connection.execute(f"DESCRIBE SELECT * FROM {files_sql(case['expected'])}").fetchall()
            casts = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind, *_ in kinds)
            names, actual = fetch(connection, f"SELECT {casts} FROM answer")
        else:
            names, actual = fetch(connection, "SELECT * FROM answer")
    except Exception as error:  # noqa: BLE001: whatever it is, it is this query's failure
        return [str(error)[:600]]
    return differences(case, names, actual, expected_names, expected, "Sail")


def sail(plan):
    import tempfile

    import duckdb
    from sqlglot import exp, parse_one

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    with tempfile.TemporaryDirectory() as folder:
        server, session = sail_session()
        sail_tables(session, plan, folder)
        for case in plan["cases"]:
            case["ordered"] = parse_one(case["sql"], read="duckdb").args.get("order") is not None
            wanted = fetch(connection, f"SELECT * FROM {files_sql(case['expected'])}")
            found = run_sail(session, connection, case, *wanted)
            lacks = SAIL_LACKS.get(case["name"], SAIL_LACKS.get(case["name"].split(" ")[0]))
            if found and not lacks:
                yield f"{case['name']} on Sail", found
            if lacks and not found:
                yield f"{case['name']} on Sail", [f"it works: remove the exception ({lacks})"]
        session.stop()
        server.stop()


def unnest_in_from(tree):
    """Redshift takes a list apart in FROM, and sqlglot does not move it there from the SELECT list."""
    from sqlglot import exp

    for select in list(tree.find_all(exp.Select)):
        for column in select.expressions:
            for call in list(column.find_all(exp.Explode)):
                name = f"{column.alias_or_name}_item"
                table = exp.TableAlias(this=exp.to_identifier("unnested"), columns=[exp.to_identifier(name)])
                call.replace(exp.column(name))
                select.join(exp.Unnest(expressions=[call.this], alias=table), join_type="CROSS", copy=False)


def dialects(plan):
    from sqlglot import ErrorLevel, exp, parse_one

    for case in plan["cases"]:
        parsed = parse_one(case["sql"], read="duckdb")
        for dialect in DIALECTS:
            try:
                tree = parsed.copy()
                if dialect == "redshift":
                    unnest_in_from(tree)
                for node in tree.find_all(exp.Placeholder):
                    # `:from` is a keyword to most of them; what is printed for them has values there.
                    node.set("this", f"given_{node.this}")
                text = tree.sql(dialect, unsupported_level=ErrorLevel.RAISE, copy=False)
                parse_one(text, read=dialect)
            except Exception as error:  # noqa: BLE001
                yield f"{case['name']} in {dialect}", sorted(set(str(error).split("\n\n")))[:SHOWN]


def main():
    command, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    failures = list({"rows": rows, "sail": sail, "dialects": dialects}[command](plan))
    for name, found in failures:
        print(name)
        for line in found:
            print(f"    {line}")
    print(f"{len(plan['cases'])} checked, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
