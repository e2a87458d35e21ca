//! Formats rows as a table, Markdown, CSV, JSON or Parquet.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::ArrowWriter;

use super::args::OutputFormat;
use super::column_names::{heading, machine_name, unique};
use super::output::{print_data, terminal_width};
use super::table::{ColumnKind, TextTable};
use crate::error::{Error, ErrorKind, OrError, Result};

/// The format of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowStyle {
    pub(super) format: OutputFormat,
    /// Whether CSV texts that a spreadsheet would evaluate are marked as text.
    pub(super) csv_safe: bool,
    /// Whether the columns are those of a bundled query, which have headings and machine names.
    pub(super) is_bundled: bool,
    /// The width of the terminal in columns, if a table is printed on one.
    pub(super) width: Option<usize>,
}

impl RowStyle {
    /// Return the style of tables on stdout.
    pub(super) fn table(is_bundled: bool) -> Self {
        Self {
            format: OutputFormat::Table,
            csv_safe: false,
            is_bundled,
            width: terminal_width(),
        }
    }

    /// Return the style for a destination: the given format, or else the format of the file's extension.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if formulas must be marked in another format than CSV.
    pub(super) fn choose(
        format: Option<OutputFormat>,
        out: Option<&Path>,
        csv_safe: bool,
        is_bundled: bool,
    ) -> Result<Self> {
        let format = format.or_else(|| implied_format(out?)).unwrap_or_default();
        if csv_safe && format != OutputFormat::Csv {
            return Err(
                Error::new(ErrorKind::Usage, "--csv-safe applies to CSV only")
                    .hint("add --format csv, or remove --csv-safe"),
            );
        }
        Ok(Self {
            format,
            csv_safe,
            width: Self::table(is_bundled).width.filter(|_| out.is_none()),
            is_bundled,
        })
    }
}

/// Return the format that a file's extension names.
fn implied_format(path: &Path) -> Option<OutputFormat> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "csv" => Some(OutputFormat::Csv),
        "json" => Some(OutputFormat::Json),
        "ndjson" | "jsonl" => Some(OutputFormat::Ndjson),
        "md" | "markdown" => Some(OutputFormat::Markdown),
        "parquet" => Some(OutputFormat::Parquet),
        _ => None,
    }
}

/// Return `batches` in a format, as the bytes of a file.
///
/// # Errors
/// [`ErrorKind::Usage`] if the format does not support the type of a column.
pub(super) fn render(batches: &[RecordBatch], style: RowStyle) -> Result<Vec<u8>> {
    let unwritten = "cannot write the rows";
    let batches = batches.iter().map(|batch| rename(batch, style));
    let batches: Vec<_> = batches
        .collect::<Result<_, _>>()
        .or_error(ErrorKind::Internal, unwritten)?;
    match style.format {
        OutputFormat::Table | OutputFormat::Markdown => {
            let table = text_table(&batches).or_error(ErrorKind::Internal, unwritten)?;
            Ok(match style.format {
                OutputFormat::Markdown => table.render_markdown(),
                _ => table.render(style.width),
            }
            .into_bytes())
        }
        OutputFormat::Csv => csv(&batches, style.csv_safe),
        OutputFormat::Json | OutputFormat::Ndjson => {
            json_lines(&batches).or_error(ErrorKind::Internal, unwritten)
        }
        OutputFormat::Parquet => {
            let mut bytes = Vec::new();
            let schema = batches
                .first()
                .map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
            let mut writer = ArrowWriter::try_new(&mut bytes, schema, None)
                .or_error(ErrorKind::Internal, unwritten)?;
            for batch in &batches {
                writer
                    .write(batch)
                    .or_error(ErrorKind::Internal, unwritten)?;
            }
            writer.close().or_error(ErrorKind::Internal, unwritten)?;
            Ok(bytes)
        }
    }
}

fn csv(batches: &[RecordBatch], csv_safe: bool) -> Result<Vec<u8>> {
    let unwritten = "cannot write the rows";
    let mut text = Vec::new();
    let mut writer = arrow::csv::WriterBuilder::new()
        .with_header(true)
        .build(&mut text);
    for batch in batches {
        let marked = match csv_safe {
            true => Some(mark_formulas(batch).or_error(ErrorKind::Internal, unwritten)?),
            false => None,
        };
        writer
            .write(marked.as_ref().unwrap_or(batch))
            .or_error(ErrorKind::Usage, unwritten)
            .map_err(|error| error.hint("nested columns need --format json or parquet"))?;
    }
    drop(writer);
    Ok(text)
}

/// Return one JSON object per line, with every column.
fn json_lines(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut text = Vec::new();
    let mut writer = arrow_json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow_json::writer::LineDelimited>(&mut text);
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    drop(writer);
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

/// Return the batch with the column names of the format, none of them twice.
fn rename(batch: &RecordBatch, style: RowStyle) -> Result<RecordBatch, ArrowError> {
    let is_for_people = matches!(style.format, OutputFormat::Table | OutputFormat::Markdown);
    let fields = batch.schema_ref().fields();
    let names = fields.iter().map(|field| match style.is_bundled {
        true if is_for_people => heading(field.name()),
        true => machine_name(field.name()),
        false => field.name().clone(),
    });
    let names = unique(names.collect()).into_iter();
    let fields = names
        .zip(fields)
        .map(|(name, field)| Field::new(name, field.data_type().clone(), field.is_nullable()));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), batch.columns().to_vec())
}

/// Return the rows as texts, instants to the second.
fn text_table(batches: &[RecordBatch]) -> Result<TextTable, ArrowError> {
    let Some(first) = batches.first() else {
        return Ok(TextTable::new([]));
    };
    let fields = first.schema_ref().fields().iter();
    let columns = fields.map(|field| (field.name().clone(), kind(field.data_type())));
    let mut table = TextTable::new(columns);
    for batch in batches {
        let columns = batch.columns().iter();
        let cells = columns.map(|column| {
            let options = format_options(column.data_type());
            ArrayFormatter::try_new(column.as_ref(), &options)
                .map(|cells| texts(&cells, column.len()))
        });
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = cells.iter().filter_map(|column| column.get(row).cloned());
            table.push(cells.collect());
        }
    }
    Ok(table)
}

fn texts(cells: &ArrayFormatter<'_>, len: usize) -> Vec<String> {
    (0..len).map(|row| cells.value(row).to_string()).collect()
}

fn kind(data_type: &DataType) -> ColumnKind {
    match data_type {
        _ if data_type.is_numeric() => ColumnKind::Number,
        _ if data_type.is_temporal() => ColumnKind::Time,
        _ => ColumnKind::Text,
    }
}

fn format_options(data_type: &DataType) -> FormatOptions<'static> {
    let options = FormatOptions::default().with_null("");
    match data_type {
        DataType::Timestamp(_, Some(zone)) if zone.as_ref() == "UTC" => {
            options.with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%SZ"))
        }
        DataType::Timestamp(_, Some(_)) => {
            options.with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%:z"))
        }
        DataType::Timestamp(_, None) => options.with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S")),
        _ => options,
    }
}

/// Return the batch with a quote mark before every text that a spreadsheet would evaluate as a formula.
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

/// Return lines of cells as aligned columns of escaped text, which fit the terminal.
pub(super) fn aligned(lines: &[Vec<String>]) -> String {
    TextTable::of_lines(lines).render(terminal_width())
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
        let style = RowStyle {
            csv_safe,
            format,
            is_bundled: false,
            width: None,
        };
        String::from_utf8(render(&[batch], style).unwrap()).unwrap()
    }

    #[test]
    fn a_table_escapes_control_characters_and_other_formats_keep_them() {
        let table = rendered(&[HOSTILE], OutputFormat::Table, false);
        assert!(
            table.contains(r"\u{1b}[2J\r\nforged | row\u{202e}   0"),
            "{table}"
        );
        assert_eq!(table.lines().count(), 3);
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
