//! Rows as text, or as a Parquet file.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::arrow::array::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;

use super::args::Format;
use super::output::print;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Writes `batches` to `out`, or to stdout.
///
/// # Errors
/// [`ErrorKind::Usage`] when the file cannot be written, or for Parquet without one.
pub(super) fn write(batches: &[RecordBatch], format: Format, out: Option<&Path>) -> Result<()> {
    let unwritten = "cannot write the rows";
    let mut text = Vec::new();
    match format {
        Format::Table => {
            let options = FormatOptions::default().with_null("");
            let table = pretty_format_batches_with_options(batches, &options);
            let table = table.or_error(ErrorKind::Internal, unwritten)?;
            text.extend(format!("{table}\n").into_bytes());
        }
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new()
                .with_header(true)
                .build(&mut text);
            for batch in batches {
                writer
                    .write(batch)
                    .or_error(ErrorKind::Usage, unwritten)
                    .map_err(|error| error.hint("nested columns need --format json or parquet"))?;
            }
        }
        Format::Json => {
            let mut writer = arrow_json::LineDelimitedWriter::new(&mut text);
            let refs: Vec<_> = batches.iter().collect();
            writer
                .write_batches(&refs)
                .or_error(ErrorKind::Internal, unwritten)?;
            writer.finish().or_error(ErrorKind::Internal, unwritten)?;
        }
        Format::Parquet => {
            let schema = batches.first().map(RecordBatch::schema).unwrap_or_else(|| {
                std::sync::Arc::new(datafusion::arrow::datatypes::Schema::empty())
            });
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
    match (out, format) {
        (Some(path), _) => File::create(path)
            .and_then(|mut file| file.write_all(&text))
            .or_error(ErrorKind::Usage, unwritten)
            .map_err(|error| error.with("file", path.display())),
        (None, Format::Parquet) => {
            Err(Error::new(ErrorKind::Usage, "Parquet goes to a file").hint("add --out FILE"))
        }
        (None, _) => print(&String::from_utf8_lossy(&text)),
    }
}

/// Lines of cells as aligned columns.
pub(super) fn aligned(lines: &[Vec<String>]) -> String {
    let width = |n: usize| {
        let cells = lines.iter().filter_map(|line| line.get(n));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for line in lines {
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
