"""Reads every table of a lake with DuckDB, pyarrow, Polars and Spark, by its folder and with hive partitions.

Called by `tests/it/readers.rs` as `run.py read PLAN`. Each engine says what it sees: types in the data dictionary's
words, rows, rows per partition, and per column a few figures (values, sum, smallest, largest). Types must be the
contract's, rows the manifest's, partitions the folders', and the figures the same on all engines. Prints one paragraph
per table that fails; the exit code is 1 when there is one.
"""

import collections
import json
import os
import sys
import urllib.parse

NULL = "__HIVE_DEFAULT_PARTITION__"


class Duckdb:
    """Figures by SQL."""

    def __init__(self, lake):
        import duckdb

        self.lake, self.connection = lake, duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")

    def see(self, folder, columns, keys):
        source = f"read_parquet('{self.lake}/{folder}/**/*.parquet', hive_partitioning = true)"
        described = self.connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        types = {name: self.word(str(kind)) for name, kind, *_ in described}
        parts = {
            "bigint": "sum({0})::hugeint, min({0}), max({0})",
            "boolean": "count(*) FILTER ({0}), NULL, NULL",
            "timestamp (UTC)": "NULL, epoch_us(min({0})), epoch_us(max({0}))",
            "list": "sum(len({0}))::hugeint, NULL, NULL",
            "struct": "NULL, NULL, NULL",
        }
        selected = ["count(*)"]
        for name, kind in columns:
            selected.append(f'count("{name}"), ' + parts.get(shape(kind), "NULL, min({0}), max({0})").format(f'"{name}"'))
        row = self.connection.execute(f"SELECT {', '.join(selected)} FROM {source}").fetchone()
        partitions = {}
        if keys:
            names = ", ".join(f'"{key}"::varchar' for key in keys)
            found = self.connection.execute(f"SELECT {names}, count(*) FROM {source} GROUP BY ALL").fetchall()
            partitions = {tuple(values): count for *values, count in found}
        return types, row[0], partitions, figures(columns, row[1:])

    def word(self, kind):
        kind = kind.replace('"', "").lower()
        return kind.replace("timestamp with time zone", "timestamp (UTC)")


class Pyarrow:
    def __init__(self, lake):
        self.lake = lake

    def see(self, folder, columns, keys):
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.dataset as ds

        # Inferred, a key that has the null partition alone is an error.
        partitioning = ds.partitioning(pa.schema([(key, pa.string()) for key in keys]), flavor="hive")
        table = ds.dataset(f"{self.lake}/{folder}", format="parquet", partitioning=partitioning).to_table()
        types = {field.name: self.word(field.type) for field in table.schema}
        row = []
        for name, kind in columns:
            column, form = table[name], shape(kind)
            low = high = total = None
            if form not in ("boolean", "list", "struct"):
                bounds = pc.min_max(column.cast("int64") if form.startswith("timestamp") else column).as_py()
                low, high = bounds["min"], bounds["max"]
            if form in ("bigint", "boolean"):
                total = pc.sum(column).as_py()
            elif form == "list":
                total = pc.sum(pc.list_value_length(column)).as_py()
            row += [len(column) - column.null_count, total, low, high]
        return types, len(table), grouped(table.select(keys).to_pylist(), keys), figures(columns, row)

    def word(self, kind):
        import pyarrow as pa

        if pa.types.is_struct(kind):
            return "struct(" + ", ".join(f"{field.name} {self.word(field.type)}" for field in kind) + ")"
        if pa.types.is_list(kind):
            return self.word(kind.value_type) + "[]"
        words = {"string": "varchar", "int64": "bigint", "bool": "boolean", "date32[day]": "date"}
        return {**words, "timestamp[us, tz=UTC]": "timestamp (UTC)"}.get(str(kind), str(kind))


class Polars:
    def __init__(self, lake):
        self.lake = lake

    def see(self, folder, columns, keys):
        import polars as pl

        table = pl.read_parquet(f"{self.lake}/{folder}/**/*.parquet", hive_partitioning=True)
        types = {name: self.word(kind) for name, kind in table.schema.items()}
        row = []
        for name, kind in columns:
            column, form = table[name], shape(kind)
            low = high = total = None
            if form not in ("boolean", "list", "struct"):
                values = column.dt.epoch("us") if form.startswith("timestamp") else column
                low, high = values.min(), values.max()
            if form in ("bigint", "boolean"):
                total = column.sum()
            elif form == "list":
                total = column.list.len().sum()
            row += [len(column) - column.null_count(), total, low, high]
        return types, len(table), grouped(table.select(keys).to_dicts(), keys), figures(columns, row)

    def word(self, kind):
        import polars as pl

        if isinstance(kind, pl.Struct):
            return "struct(" + ", ".join(f"{field.name} {self.word(field.dtype)}" for field in kind.fields) + ")"
        if isinstance(kind, pl.List):
            return self.word(kind.inner) + "[]"
        if kind == pl.Datetime("us", "UTC"):
            return "timestamp (UTC)"
        words = {pl.String: "varchar", pl.Int64: "bigint", pl.Float64: "double", pl.Boolean: "boolean", pl.Date: "date"}
        return words.get(kind, str(kind))


class Spark:
    def __init__(self, lake):
        from pyspark.sql import SparkSession

        # The plan's folder takes what Spark would leave where it was started.
        os.chdir(os.path.dirname(lake))
        settings = {
            "spark.master": "local[1]",
            "spark.ui.enabled": "false",
            "spark.driver.host": "localhost",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "1",
            # Compiling a query takes longer than reading so few rows.
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.log.level": "ERROR",
        }
        builder = SparkSession.builder
        for key, value in settings.items():
            builder = builder.config(key, value)
        self.lake, self.session = lake, builder.getOrCreate()

    def see(self, folder, columns, keys):
        from pyspark.sql import functions as f

        table = self.session.read.parquet(f"{self.lake}/{folder}")
        types = {field.name: self.word(field.dataType) for field in table.schema}
        parts = {
            "bigint": "sum({0}), min({0}), max({0})",
            "boolean": "count_if({0}), NULL, NULL",
            "timestamp (UTC)": "NULL, unix_micros(min({0})), unix_micros(max({0}))",
            "list": "sum(size({0})), NULL, NULL",
            "struct": "NULL, NULL, NULL",
        }
        selected = ["count(*)"]
        for name, kind in columns:
            part = f"count(`{name}`), " + parts.get(shape(kind), "NULL, min({0}), max({0})").format(f"`{name}`")
            selected += part.split(", ")
        row = table.selectExpr(*selected).first()
        partitions = {}
        if keys:
            found = table.groupBy(*[f.col(key).cast("string") for key in keys]).count().collect()
            partitions = {tuple(values): count for *values, count in found}
        return types, row[0], partitions, figures(columns, row[1:])

    def word(self, kind):
        name = kind.typeName()
        if name == "struct":
            return "struct(" + ", ".join(f"{field.name} {self.word(field.dataType)}" for field in kind) + ")"
        if name == "array":
            return self.word(kind.elementType) + "[]"
        return {"string": "varchar", "long": "bigint", "timestamp": "timestamp (UTC)"}.get(name, name)


def shape(kind):
    return "list" if kind.endswith("[]") else "struct" if kind.startswith("struct(") else kind


def figures(columns, row):
    """Column → values, sum, smallest, largest; a sum of nothing is 0 on some engines."""
    found = {}
    for n, (name, _) in enumerate(columns):
        values, total, low, high = row[4 * n : 4 * n + 4]
        found[name] = (values, total or 0, low, high)
    return found


def grouped(rows, keys):
    if not keys:
        return {}
    values = (tuple(None if row[key] is None else str(row[key]) for key in keys) for row in rows)
    return dict(collections.Counter(values))


def folders(table):
    """The partition keys of a table's files, and each partition's values."""
    keys, values = [], set()
    for file in table["files"]:
        pairs = [part.split("=", 1) for part in file.split("/") if "=" in part]
        keys = [key for key, _ in pairs]
        values.add(tuple(None if value == NULL else urllib.parse.unquote(value) for _, value in pairs))
    return keys, values


def read(plan):
    engines = [engine(plan["lake"]) for engine in (Duckdb, Pyarrow, Polars, Spark)]
    for folder, table in plan["tables"].items():
        keys, values = folders(table)
        wanted = {name: kind for name, kind in table["columns"]}
        found, first = [], None
        for engine in engines:
            name = type(engine).__name__
            try:
                types, rows, partitions, seen = engine.see(folder, table["columns"], keys)
            except Exception as error:  # noqa: BLE001: whatever it is, it is this engine's failure
                found.append(f"{name}: {str(error)[:500]}")
                continue
            if {column: kind for column, kind in types.items() if column not in keys} != wanted:
                wrong = {it: (types.get(it), wanted.get(it)) for it in wanted.keys() | types.keys() - set(keys)}
                found.append(f"{name}: types {({k: v for k, v in wrong.items() if v[0] != v[1]})}")
            if not set(keys) <= types.keys():
                found.append(f"{name}: no column {keys}")
            if rows != table["rows"]:
                found.append(f"{name}: {rows} rows, the manifest has {table['rows']}")
            # Empty partitions have no row that could name them.
            if keys and (not partitions.keys() <= values or sum(partitions.values()) != rows):
                found.append(f"{name}: partitions {partitions.keys() - values}, {sum(partitions.values())} rows")
            first = first or (name, partitions, seen)
            if partitions != first[1]:
                found.append(f"{name}: partitions {partitions}, {first[0]} {first[1]}")
            for column, of in seen.items():
                if of != first[2][column]:
                    found.append(f"{name}: {column} {of}, {first[0]} {first[2][column]}")
        yield folder, [line[:1000] for line in found]


def main():
    command, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    results = list({"read": read}[command](plan))
    failures = [(name, found) for name, found in results if found]
    for name, found in failures:
        print(name)
        for line in found:
            print(f"    {line}")
    print(f"{len(results)} checked, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
