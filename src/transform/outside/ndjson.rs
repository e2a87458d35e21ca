//! NDJSON with the types that all of its rows have, not a sample of them: a key may appear first in the last row.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Fields, SchemaRef};
use serde_json::Value;

use super::files::{TextFile, in_file};
use super::shape::Shape;
use crate::error::{Error, ErrorKind, OrError, Result};

const BATCH_ROWS: usize = 1024;

/// What the rows of all files have.
pub(super) fn observe(files: &[TextFile]) -> Result<Shape> {
    let mut shape = Shape::default();
    for file in files {
        for row in rows(file)? {
            shape.observe(&row?);
        }
    }
    Ok(shape)
}

/// Hands the rows of `file` to `write`, with the columns of `schema`; counts in `misfits`, by path, what is null because
/// it is of another type.
pub(super) fn read(
    file: &TextFile,
    schema: &SchemaRef,
    misfits: &mut BTreeMap<String, u64>,
    mut write: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut waiting = Vec::new();
    for row in rows(file)? {
        let mut row = row?;
        if let Value::Object(object) = &mut row {
            fit_fields(object, schema.fields(), "", misfits);
        }
        waiting.push(row);
        if waiting.len() == BATCH_ROWS {
            write(&batch(schema, &waiting)?)?;
            waiting.clear();
        }
    }
    write(&batch(schema, &waiting)?)
}

/// The objects of a file.
fn rows(file: &TextFile) -> Result<impl Iterator<Item = Result<Value>>> {
    let values = serde_json::Deserializer::from_reader(file.read()?).into_iter::<Value>();
    let objects = values.map(|value| {
        let value = value.or_error(ErrorKind::Configuration, "cannot read the NDJSON")?;
        match value.is_object() {
            true => Ok(value),
            false => Err(Error::new(
                ErrorKind::Configuration,
                "a line of the NDJSON is no JSON object",
            )
            .hint("write one object a line, as `jq -c '.[]'` does with a list")),
        }
    });
    Ok(objects.map(|row| row.map_err(in_file(file))))
}

fn batch(schema: &SchemaRef, rows: &[Value]) -> Result<RecordBatch> {
    let failed = "cannot turn JSON into columns";
    let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(BATCH_ROWS)
        .build_decoder()
        .or_error(ErrorKind::Internal, failed)?;
    decoder
        .serialize(rows)
        .or_error(ErrorKind::Internal, failed)?;
    let batch = decoder.flush().or_error(ErrorKind::Internal, failed)?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema))))
}

fn fit_fields(
    object: &mut serde_json::Map<String, Value>,
    fields: &Fields,
    path: &str,
    misfits: &mut BTreeMap<String, u64>,
) {
    for field in fields {
        if let Some(value) = object.get_mut(field.name()) {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", field.name());
            fit(value, field.data_type(), &path, misfits);
        }
    }
}

/// Makes a value of the type: a text column takes anything, as JSON; where the query looks inside, what has no inside
/// is null.
fn fit(value: &mut Value, data_type: &DataType, path: &str, misfits: &mut BTreeMap<String, u64>) {
    match (data_type, &mut *value) {
        (_, Value::Null) | (DataType::Utf8, Value::String(_)) => {}
        (DataType::Utf8, other) => *value = Value::String(other.to_string()),
        (DataType::Struct(fields), Value::Object(object)) => {
            fit_fields(object, fields, path, misfits);
        }
        (DataType::List(item), Value::Array(items)) => {
            for value in items {
                fit(value, item.data_type(), path, misfits);
            }
        }
        (DataType::Struct(_) | DataType::List(_), _) => {
            *misfits.entry(path.to_owned()).or_default() += 1;
            *value = Value::Null;
        }
        // The column's type is what all values are.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Schema;
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    /// Type of each column, then the rows, read as a query that looks at `wanted` would.
    fn table(text: &str, wanted: &Shape) -> (Vec<String>, BTreeMap<String, u64>) {
        let files = [TextFile::of(text.as_bytes())];
        let shape = observe(&files).unwrap();
        let schema = Arc::new(Schema::new(shape.fields(wanted)));
        let columns = schema.fields().iter();
        let columns = columns.map(|field| format!("{} {}", field.name(), field.data_type()));
        let mut lines = vec![columns.collect::<Vec<_>>().join(", ")];
        let mut misfits = BTreeMap::new();
        read(&files[0], &schema, &mut misfits, |batch| {
            for row in 0..batch.num_rows() {
                let cells = batch.columns().iter();
                let cells = cells.map(|column| array_value_to_string(column, row).unwrap());
                lines.push(cells.collect::<Vec<_>>().join(" | "));
            }
            Ok(())
        })
        .unwrap();
        (lines, misfits)
    }

    fn lines(text: &str) -> Vec<String> {
        table(text, &Shape::default()).0
    }

    #[test]
    fn a_key_that_only_the_last_of_many_rows_has_is_a_column() {
        let mut text = "{\"id\": 1}\n".repeat(3000);
        text.push_str("{\"id\": 2, \"at\": {\"by\": \"Ada\"}}");
        let lines = lines(&text);
        assert_eq!(lines[0], "at Struct(\"by\": Utf8), id Int64");
        assert_eq!(lines[3001], "{by: Ada} | 2");
    }

    #[test]
    fn what_is_nested_deeply_is_the_text_of_its_json() {
        let text = format!("{{\"k\": {}1{}}}", "[".repeat(100), "]".repeat(100));
        let lines = lines(&text);
        assert!(
            lines[0].ends_with(&format!("Utf8{}", ")".repeat(16))),
            "{}",
            lines[0]
        );
        assert!(lines[1].contains("[[[[1]]]]"), "{}", lines[1]);
    }

    #[test]
    fn a_key_of_several_types_is_text_and_no_row_is_lost() {
        assert_eq!(
            lines(
                "{\"k\": 7}\n{\"k\": \"seven\"}\n{\"k\": true}\n{\"k\": [1]}\n{\"k\": {\"a\": 1}}\n{\"k\": null}\n{}"
            ),
            ["k Utf8", "7", "seven", "true", "[1]", "{\"a\":1}", "", ""]
        );
        assert_eq!(
            lines("{\"k\": 7}\n{\"k\": 7.5}"),
            ["k Float64", "7.0", "7.5"]
        );
        assert_eq!(
            lines("{\"k\": 7}\n{\"k\": 18446744073709551615}"),
            ["k Utf8", "7", "18446744073709551615"]
        );
        assert_eq!(
            lines("{\"k\": [1]}\n{\"k\": [\"a\"]}\n{\"k\": []}"),
            ["k List(Utf8)", "[1]", "[a]", "[]"]
        );
        assert_eq!(lines("{\"k\": {}}"), ["k Utf8", "{}"]);
    }

    #[test]
    fn what_the_query_looks_into_keeps_its_inside_and_counts_what_has_none() {
        let wanted = Shape::at(&["service", "summary"]);
        let (lines, misfits) = table(
            "{\"service\": {\"id\": 1}}\n{\"service\": \"web\"}\n{\"service\": null}",
            &wanted,
        );
        assert_eq!(lines[0], "service Struct(\"id\": Int64, \"summary\": Utf8)");
        assert_eq!(lines.len(), 4);
        assert_eq!(misfits, BTreeMap::from([("service".to_owned(), 1)]));
    }

    #[test]
    fn empty_files_blank_lines_and_marks_are_no_rows() {
        for empty in ["", "\n\n", "\u{feff}", " \r\n"] {
            assert_eq!(lines(empty), [""], "{empty:?}");
        }
        assert_eq!(
            lines("\u{feff}\n{\"k\": 1}\n\n{\"k\": 2}\n\n"),
            ["k Int64", "1", "2"]
        );
    }

    #[test]
    fn what_is_no_object_is_an_error_that_names_the_file() {
        for text in ["[{\"id\": 1}]", "7", "{\"id\": 1}\nnull", "{\"id\": "] {
            let failure = observe(&[TextFile::of(text.as_bytes())]).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Configuration, "{text}");
            assert!(failure.to_string().contains("file=test"), "{failure}");
        }
    }
}
