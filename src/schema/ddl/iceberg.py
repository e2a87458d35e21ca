import sys

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import AlwaysTrue, In


def column(name, data_type, nullable, description):
    return pa.field(name, data_type, nullable, {"doc": description})


def load(location, tables, gone):
    """Create the tables and replace their rows: of each table in one step."""
    catalog = load_catalog(sys.argv[1])
    filesystem, root = pyarrow.fs.FileSystem.from_uri(location) if location else (None, None)
    for namespace, name, description, columns, stale, fresh in tables:
        schema = pa.schema(columns)
        catalog.create_namespace_if_not_exists((namespace,))
        table = catalog.create_table_if_not_exists((namespace, name), schema, properties={"comment": description})
        with table.update_schema() as update:
            update.union_by_name(schema)
        if not location:
            continue
        # Rows of unknown origin go as well.
        removed = AlwaysTrue() if stale is None else In("_lake_file", {*stale, *fresh})
        with table.transaction() as transaction:
            if table.current_snapshot() and (stale is None or stale):
                transaction.delete(removed)
            for file in fresh:
                transaction.append(read(filesystem, root, file, schema))
    for namespace, name in gone:
        catalog.load_table((namespace, name)).delete(AlwaysTrue())


