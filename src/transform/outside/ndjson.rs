//! Reads NDJSON with types that come from all of its rows, not from a sample: a key may occur first in the last row.
//!
//! Objects are split by their brackets. An object that is almost valid JSON loses only the values that cannot be read
//! (see [`crate::json`]). Text that is not JSON is an error with its line.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Fields, SchemaRef};
use serde_json::Value;

use super::files::{TextFile, in_file};
use super::shape::Shape;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::json::{self, Lenient};

const BATCH_ROWS: usize = 1024;
/// The size limit of an object in bytes. Without it, an unclosed object would read the rest of the file.
const LONGEST: usize = 1 << 26;

/// The values that did not fit their column.
#[derive(Debug, Default)]
pub(super) struct Misfits {
    /// The number of values that became null because of their type, by path.
    pub values: BTreeMap<String, u64>,
    /// The number of rows that are not valid JSON.
    pub repaired: u64,
}

/// Return the shape of the rows of all files.
pub(super) fn observe(files: &[TextFile]) -> Result<Shape> {
    let mut shape = Shape::default();
    for file in files {
        for row in rows(file)? {
            shape.observe(&row?.document.root().to_tree());
        }
    }
    Ok(shape)
}

/// Pass the rows of `file` to `write`, with the columns of `schema`. Count misfits.
pub(super) fn read(
    file: &TextFile,
    schema: &SchemaRef,
    misfits: &mut Misfits,
    mut write: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut pending_rows = Vec::new();
    for row in rows(file)? {
        let Lenient { document, is_exact } = row?;
        misfits.repaired += u64::from(!is_exact);
        let mut value = document.root().to_tree();
        if let Value::Object(object) = &mut value {
            fit_fields(object, schema.fields(), "", &mut misfits.values);
        }
        pending_rows.push(value);
        if pending_rows.len() == BATCH_ROWS {
            write(&batch(schema, &pending_rows)?)?;
            pending_rows.clear();
        }
    }
    write(&batch(schema, &pending_rows)?)
}

/// Return the objects of a file.
fn rows(file: &TextFile) -> Result<impl Iterator<Item = Result<Lenient>>> {
    let mut objects = Objects {
        reader: BufReader::new(file.read()?),
        line: String::new(),
        at: 0,
        number: 0,
    };
    let rows = std::iter::from_fn(move || objects.next().transpose());
    Ok(rows.map(|row| row.map_err(in_file(file))))
}

/// Splits a text into objects, of which there is usually one a line.
struct Objects<R> {
    reader: BufReader<R>,
    line: String,
    /// The start of the unread part of the line.
    at: usize,
    number: u64,
}

impl<R: Read> Objects<R> {
    fn next(&mut self) -> Result<Option<Lenient>> {
        let mut text = String::new();
        let mut brackets = Brackets::default();
        let mut first = 0;
        loop {
            if self.at == self.line.len() && !self.next_line()? {
                return match text.is_empty() {
                    true => Ok(None),
                    false => Err(unreadable("an object of the NDJSON is not closed", first)),
                };
            }
            let mut rest = &self.line[self.at..];
            if text.is_empty() {
                rest = rest.trim_ascii_start();
                self.at = self.line.len() - rest.len();
                first = self.number;
                match rest.bytes().next() {
                    None => continue,
                    Some(b'{') => {}
                    Some(_) => {
                        let what = "a line of the NDJSON is not a JSON object";
                        return Err(unreadable(what, first));
                    }
                }
            }
            if let Some(end) = brackets.close(rest.as_bytes()) {
                text.push_str(&rest[..end]);
                self.at += end;
                let read = json::read(&text).filter(|read| read.document.root().is_object());
                let what = "an object of the NDJSON is not valid JSON";
                return read.map(Some).ok_or_else(|| unreadable(what, first));
            }
            if brackets.is_in_text {
                let what = "a string in the NDJSON is not closed on its line";
                return Err(unreadable(what, self.number));
            }
            text.push_str(rest);
            self.at = self.line.len();
            if text.len() > LONGEST {
                return Err(unreadable("an object of the NDJSON is not closed", first));
            }
        }
    }

    /// Read the next line; return false at the end of the file.
    fn next_line(&mut self) -> Result<bool> {
        self.line.clear();
        self.at = 0;
        self.number += 1;
        let read = self.reader.read_line(&mut self.line);
        let read = read.or_error(ErrorKind::Configuration, "cannot read the NDJSON")?;
        Ok(read > 0)
    }
}

fn unreadable(what: &'static str, line: u64) -> Error {
    Error::new(ErrorKind::Configuration, what)
        .with("line", line)
        .hint("write one object a line; `jq -c '.[]'` converts a list")
}

/// Finds the end of an object without recursion.
#[derive(Debug, Default)]
struct Brackets {
    depth: usize,
    is_in_text: bool,
    is_escaped: bool,
}

impl Brackets {
    /// Continue with `bytes`, and return the position after the bracket that closes the first one.
    fn close(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_text => self.is_escaped = true,
                b'"' => self.is_in_text = !self.is_in_text,
                _ if self.is_in_text => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
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

/// Convert a value to the type of its column. A text column accepts any value, as JSON. A value without fields becomes
/// null if the query reads fields of it.
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
        // The type of the column was derived from all values.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Schema;
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    /// Return the type of each column, then the rows, as for a query that reads the fields `wanted`.
    fn table(text: &str, wanted: &Shape) -> (Vec<String>, Misfits) {
        let files = [TextFile::of(text.as_bytes())];
        let shape = observe(&files).unwrap();
        let schema = Arc::new(Schema::new(shape.fields(wanted)));
        let columns = schema.fields().iter();
        let columns = columns.map(|field| format!("{} {}", field.name(), field.data_type()));
        let mut lines = vec![columns.collect::<Vec<_>>().join(", ")];
        let mut misfits = Misfits::default();
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
    fn a_key_of_the_last_row_only_is_a_column() {
        let mut text = "{\"id\": 1}\n".repeat(3000);
        text.push_str("{\"id\": 2, \"at\": {\"by\": \"Ada\"}}");
        let lines = lines(&text);
        assert_eq!(lines[0], "at Struct(\"by\": Utf8), id Int64");
        assert_eq!(lines[3001], "{by: Ada} | 2");
    }

    #[test]
    fn deeply_nested_values_are_json_text() {
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
    fn a_key_of_several_types_is_text() {
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
    fn fields_that_the_query_reads_are_kept_and_misfits_are_counted() {
        let wanted = Shape::at(&["service", "summary"]);
        let (lines, misfits) = table(
            "{\"service\": {\"id\": 1}}\n{\"service\": \"web\"}\n{\"service\": null}",
            &wanted,
        );
        assert_eq!(lines[0], "service Struct(\"id\": Int64, \"summary\": Utf8)");
        assert_eq!(lines.len(), 4);
        assert_eq!(misfits.values, BTreeMap::from([("service".to_owned(), 1)]));
    }

    #[test]
    fn empty_files_blank_lines_and_byte_order_marks_have_no_rows() {
        for empty in ["", "\n\n", "\u{feff}", " \r\n"] {
            assert_eq!(lines(empty), [""], "{empty:?}");
        }
        assert_eq!(
            lines("\u{feff}\n{\"k\": 1}\n\n{\"k\": 2}\n\n"),
            ["k Int64", "1", "2"]
        );
    }

    #[test]
    fn an_almost_valid_row_loses_only_the_invalid_values() {
        let nested = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let text = format!(
            "{{\"id\": 1, \"k\": \"x\\ud83dy\", \"n\": 7}}\n{{\"id\": 2, \"n\": 1e999}}\n\
             {{\"id\": 3, \"d\": {{\"e\": {nested}}}}}\n{{\"id\": 4, \"k\": \"}}\\\"{{\"}}"
        );
        let (lines, misfits) = table(&text, &Shape::default());
        assert_eq!(misfits.repaired, 3);
        assert_eq!(lines.len(), 5);
        assert!(lines[1].ends_with(" | 1 | x\u{fffd}y | 7"), "{}", lines[1]);
        assert!(lines[2].ends_with(" | 2 |  | "), "{}", lines[2]);
        assert!(lines[3].ends_with(" | 3 |  | "), "{}", lines[3]);
        assert!(lines[4].ends_with(" | 4 | }\"{ | "), "{}", lines[4]);
    }

    #[test]
    fn objects_may_share_a_line_and_span_several() {
        assert_eq!(
            lines("{\"k\": 1} {\"k\": 2}\n{\n  \"k\":\n  3\n}{\"k\": 4}"),
            ["k Int64", "1", "2", "3", "4"]
        );
    }

    #[test]
    fn invalid_json_is_an_error_that_names_the_line() {
        for (text, line) in [
            ("{\"id\": 1}\n\n{\"id\": 2 oops}\n{\"id\": 3}", 3),
            ("{\"id\": 1}\n{\"id\": 2\n{\"id\": 3}\n{\"id\": 4}", 2),
            ("{\"id\": 1}\n{\"id\": \"2\n{\"id\": 3}", 2),
            ("{\"id\": 1}\n{\"id\": 2]", 2),
            ("{\"id\": 1},\n{\"id\": 2}", 1),
        ] {
            let failure = observe(&[TextFile::of(text.as_bytes())]).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Configuration, "{text}");
            let line = format!("line={line}");
            assert!(failure.to_string().contains(&line), "{failure}");
        }
    }

    #[test]
    fn a_row_that_is_not_an_object_is_an_error_that_names_the_file() {
        for text in ["[{\"id\": 1}]", "7", "{\"id\": 1}\nnull", "{\"id\": "] {
            let failure = observe(&[TextFile::of(text.as_bytes())]).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Configuration, "{text}");
            assert!(failure.to_string().contains("file=test"), "{failure}");
        }
    }
}
