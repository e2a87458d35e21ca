//! Formats rows as a table, CSV, JSON or Parquet.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::ArrowWriter;

use super::args::OutputFormat;
use super::output::print_data;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::escape::escape;

/// The format of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowStyle {
    pub(super) format: OutputFormat,
    /// Whether CSV texts that a spreadsheet would evaluate are marked as text.
    pub(super) csv_safe: bool,
}

/// Return `batches` in a format, as the bytes of a file.
///
/// # Errors
/// [`ErrorKind::Usage`] if the format does not support the type of a column.
pub(super) fn render(batches: &[RecordBatch], style: RowStyle) -> Result<Vec<u8>> {
    let unwritten = "cannot write the rows";
    let mut text = Vec::new();
    match style.format {
        OutputFormat::Table => {
            let shown = batches
                .iter()
                .map(escape_cells)
                .collect::<Result<Vec<_>, _>>();
            let shown = shown.or_error(ErrorKind::Internal, unwritten)?;
            let options = FormatOptions::default().with_null("");
            let table = pretty_format_batches_with_options(&shown, &options);
            let table = table.or_error(ErrorKind::Internal, unwritten)?;
            text.extend(format!("{table}\n").into_bytes());
        }
        OutputFormat::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new()
                .with_header(true)
                .build(&mut text);
            for batch in batches {
                let marked = match style.csv_safe {
                    true => Some(mark_formulas(batch).or_error(ErrorKind::Internal, unwritten)?),
                    false => None,
                };
                writer
                    .write(marked.as_ref().unwrap_or(batch))
                    .or_error(ErrorKind::Usage, unwritten)
                    .map_err(|error| error.hint("nested columns need --format json or parquet"))?;
            }
        }
        OutputFormat::Json => {
            let mut writer = arrow_json::LineDelimitedWriter::new(&mut text);
            let refs: Vec<_> = batches.iter().collect();
            writer
                .write_batches(&refs)
                .or_error(ErrorKind::Internal, unwritten)?;
            writer.finish().or_error(ErrorKind::Internal, unwritten)?;
        }
        OutputFormat::Parquet => {
            let schema = batches
                .first()
                .map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
            let mut writer = ArrowWriter::try_new(&mut text, schema, None)
                .or_error(ErrorKind::Internal, unwritten)?;
            for batch in batches {
                writer
                    .write(batch)
                    .or_error(ErrorKind::Internal, unwritten)?;
            }
            writer.close().or_error(ErrorKind::Internal, unwritten)?;
        }
    }
    Ok(text)
}

/// Write the bytes that [`render`] has returned to `out`, or to stdout.
///
/// # Errors
/// [`ErrorKind::Usage`] if the file cannot be written, or if Parquet has no file.
pub(super) fn write(text: &[u8], format: OutputFormat, out: Option<&Path>) -> Result<()> {
    match (out, format) {
        (Some(path), _) => File::create(path)
            .and_then(|mut file| file.write_all(text))
            .or_error(ErrorKind::Usage, "cannot write the rows")
            .map_err(|error| error.with("file", path.display())),
        (None, OutputFormat::Parquet) => {
            Err(Error::new(ErrorKind::Usage, "Parquet needs a file").hint("add --out FILE"))
        }
        (None, _) => print_data(text),
    }
}

/// Return the batch with every cell as one line of escaped text.
fn escape_cells(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default().with_null("");
    let names = batch.schema_ref().fields().iter();
    let names = names.map(|field| escape(field.name()).into_owned());
    let columns = batch.columns().iter().map(|column| {
        let cells = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let cells =
            (0..column.len()).map(|row| Some(escape(&cells.value(row).to_string()).into_owned()));
        Ok(Arc::new(cells.collect::<StringArray>()) as ArrayRef)
    });
    batch_of(names, columns.collect::<Result<_, ArrowError>>()?)
}

/// Return the batch with a quote mark before every text that a spreadsheet would take for a formula.
fn mark_formulas(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let names = batch.schema_ref().fields().iter();
    let names = names.map(|field| mark(field.name()));
    let columns = batch.columns().iter().map(|column| {
        if !is_text(column.data_type()) {
            return Ok(Arc::clone(column));
        }
        let column = cast(column, &DataType::Utf8)?;
        let cells = column.as_string::<i32>().iter();
        let cells: StringArray = cells.map(|cell| cell.map(mark)).collect();
        Ok(Arc::new(cells) as ArrayRef)
    });
    batch_of(names, columns.collect::<Result<_, ArrowError>>()?)
}

fn batch_of(
    names: impl Iterator<Item = String>,
    columns: Vec<ArrayRef>,
) -> Result<RecordBatch, ArrowError> {
    let fields = names
        .zip(&columns)
        .map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns)
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The characters that begin a formula in a spreadsheet, including the full-width forms.
const FORMULA: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

fn mark(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok_and(f64::is_finite);
    match cell.starts_with(FORMULA) && !is_number {
        true => format!("'{cell}"),
        false => cell.to_owned(),
    }
}

/// Return lines of cells as aligned columns of escaped text.
pub(super) fn aligned(lines: &[Vec<String>]) -> String {
    let lines: Vec<Vec<_>> = lines
        .iter()
        .map(|line| line.iter().map(|cell| escape(cell)).collect())
        .collect();
    let width = |n: usize| {
        let cells = lines.iter().filter_map(|line| line.get(n));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (n, cell) in line.iter().enumerate() {
            let blanks = (width(n) + 2).saturating_sub(cell.chars().count());
            row.push_str(cell);
            row.push_str(&" ".repeat(blanks));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;

    use super::*;

    const HOSTILE: &str = "\u{1b}[2J\r\nforged | row\u{202e}";

    fn rendered(texts: &[&str], format: OutputFormat, csv_safe: bool) -> String {
        let numbers: Int64Array = (0..texts.len() as i64).map(|n| Some(-n)).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("name", Arc::new(StringArray::from(texts.to_vec()))),
            ("=n", Arc::new(numbers)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        String::from_utf8(render(&[batch], RowStyle { format, csv_safe }).unwrap()).unwrap()
    }

    #[test]
    fn a_table_escapes_control_characters_and_other_formats_keep_them() {
        let table = rendered(&[HOSTILE], OutputFormat::Table, false);
        assert!(
            table.contains(r"| \u{1b}[2J\r\nforged | row\u{202e} | 0  |"),
            "{table}"
        );
        assert_eq!(table.lines().count(), 5);
        assert!(rendered(&[HOSTILE], OutputFormat::Csv, false).contains(HOSTILE));
        let json = rendered(&[HOSTILE], OutputFormat::Json, false);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["name"], HOSTILE);
    }

    #[test]
    fn an_aligned_cell_is_one_line() {
        let line = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let lines = [line(["acme/\u{1b}[31mweb", "a\nb"]), line(["x", "y"])];
        assert_eq!(
            aligned(&lines),
            "acme/\\u{1b}[31mweb  a\\nb\nx                   y\n"
        );
    }

    #[test]
    fn formulas_are_marked_on_request_and_numbers_are_not() {
        let texts = [
            "=1+1",
            "+49 30",
            "-2",
            "@x",
            "\tx",
            "+1.5e3",
            "a=b",
            "-inf",
            "",
            "\u{ff1d}1",
        ];
        assert_eq!(
            rendered(&texts, OutputFormat::Csv, true),
            "name,'=n\n'=1+1,0\n'+49 30,-1\n-2,-2\n'@x,-3\n'\tx,-4\n+1.5e3,-5\na=b,-6\n'-inf,-7\n,-8\n'\u{ff1d}1,-9\n"
        );
        assert!(rendered(&texts, OutputFormat::Csv, false).starts_with("name,=n\n=1+1,0\n"));
    }
}
