import sys

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
from deltalake import DeltaTable, Schema, write_deltalake


def column(name, data_type, nullable, description):
    return pa.field(name, data_type, nullable, {"comment": description})


def load(location, tables, gone):
    """Create the tables and replace their rows. Each table changes in one step."""
    folder = sys.argv[1].rstrip("/")
    filesystem, root = pyarrow.fs.FileSystem.from_uri(location) if location else (None, None)
    for layer, name, description, columns, stale, fresh in tables:
        schema = pa.schema(columns)
        table = DeltaTable.create(f"{folder}/{layer}/{name}", Schema.from_arrow(schema), mode="ignore", description=description)
        known = {field.name for field in table.schema().fields}
        added = [field for field in Schema.from_arrow(schema).fields if field.name not in known]
        if added:
            table.alter.add_columns(added)
        if not location:
            continue
        # Rows of unknown origin are deleted, too.
        files = ", ".join("'" + file.replace("'", "''") + "'" for file in sorted({*(stale or []), *fresh}))
        predicate = None if stale is None else f"_lake_file IN ({files})"
        if fresh:
            # One file is in memory at a time.
            batches = (batch for file in fresh for batch in read(filesystem, root, file, schema).to_batches())
            rows = pa.RecordBatchReader.from_batches(schema, batches)
            write_deltalake(table, rows, mode="overwrite", predicate=predicate)
        elif stale is None or stale:
            table.delete(predicate)
    for layer, name in gone:
        DeltaTable(f"{folder}/{layer}/{name}").delete()


