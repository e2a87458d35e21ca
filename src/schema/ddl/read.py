def read(filesystem, root, file, schema):
    """Return the rows of a file of the lake, with its path as the first column."""
    rows = pyarrow.parquet.ParquetFile(filesystem.open_input_file(f"{root}/{file}")).read()
    columns = [pa.repeat(file, len(rows))]
    for field in list(schema)[1:]:
        # A file may be older than a column.
        has = field.name in rows.schema.names
        columns.append(rows[field.name].cast(field.type) if has else pa.nulls(len(rows), field.type))
    return pa.table(columns, schema=schema)


