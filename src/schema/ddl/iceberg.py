import sys
import uuid

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import AlwaysTrue, In


def column(name, data_type, nullable, description):
    return pa.field(name, data_type, nullable, {"doc": description})


def write(table, rows):
    """Write a data file of the table. PyIceberg's own writer would write null lists as empty lists."""
    address = f"{table.location()}/data/{uuid.uuid4()}.parquet"
    with table.io.new_output(address).create() as stream:
        pyarrow.parquet.write_table(rows, stream, compression="zstd")
    return address


def load(location, tables, gone):
    """Create the tables and replace their rows. Each table changes in one step."""
    catalog = load_catalog(sys.argv[1])
    filesystem, root = pyarrow.fs.FileSystem.from_uri(location) if location else (None, None)
    for namespace, name, description, columns, stale, fresh in tables:
        schema = pa.schema(columns)
        # With full bounds of this column, Iceberg deletes rows by dropping their data file.
        properties = {"comment": description, "write.metadata.metrics.column._lake_file": "full"}
        catalog.create_namespace_if_not_exists((namespace,))
        table = catalog.create_table_if_not_exists((namespace, name), schema, properties=properties)
        with table.update_schema() as update:
            update.union_by_name(schema)
        if not location:
            continue
        # Rows of unknown origin are deleted, too.
        removed = AlwaysTrue() if stale is None else In("_lake_file", stale)
        added = [write(table, read(filesystem, root, file, schema)) for file in fresh]
        with table.transaction() as transaction:
            if table.current_snapshot() and stale != []:
                transaction.delete(removed)
            if added:
                transaction.add_files(added, check_duplicate_files=False)
    for namespace, name in gone:
        catalog.load_table((namespace, name)).delete(AlwaysTrue())


