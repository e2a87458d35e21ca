//! Reads CSV as text columns. The types come from the contract, because a hash that consists of digits is not a number.
//!
//! Several files form one table. Each is read by its own header, so the order of columns may differ.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use regex::Regex;

use super::files::{TextFile, in_file};
use crate::error::{Error, ErrorKind, OrError, Result};

/// Text that means null besides an empty cell, as MySQL and Postgres export it.
const NULLS: &str = r"^(NULL|\\N)?$";
const BATCH_ROWS: usize = 1024;

/// Return the columns of all files, in the order of their first occurrence.
pub(super) fn schema(files: &[TextFile]) -> Result<SchemaRef> {
    let mut names: Vec<String> = Vec::new();
    for file in files {
        for name in header(file)? {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(text_schema(&names))
}

/// Pass the rows of `file` to `write`, with the columns of `schema`. Columns that the file lacks are null.
pub(super) fn read(
    file: &TextFile,
    schema: &SchemaRef,
    mut write: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let failed = |error| unreadable(error, file);
    let own = header(file)?;
    if own.is_empty() {
        return Ok(());
    }
    let nulls =
        Regex::new(NULLS).or_error(ErrorKind::Internal, "the pattern for nulls is invalid")?;
    let rows = ReaderBuilder::new(text_schema(&own))
        .with_header(true)
        .with_batch_size(BATCH_ROWS)
        .with_null_regex(nulls)
        .build(file.read()?)
        .map_err(failed)?;
    for batch in rows {
        let batch = batch.map_err(failed)?;
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match batch.column_by_name(field.name()) {
                Some(column) => Arc::clone(column),
                None => new_null_array(field.data_type(), batch.num_rows()),
            }
        });
        let batch = RecordBatch::try_new(Arc::clone(schema), columns.collect());
        write(&batch.map_err(failed)?)?;
    }
    Ok(())
}

fn unreadable(error: datafusion::arrow::error::ArrowError, file: &TextFile) -> Error {
    in_file(file)(Error::new(ErrorKind::Configuration, "cannot read the CSV").source(error))
}

/// Return the column names in the first line; none for an empty file.
fn header(file: &TextFile) -> Result<Vec<String>> {
    let format = Format::default().with_header(true);
    let (schema, _) = format
        .infer_schema(file.read()?, Some(0))
        .map_err(|error| unreadable(error, file))?;
    let names = schema.fields().iter().map(|field| field.name().clone());
    Ok(distinct(names.collect()))
}

fn text_schema(names: &[String]) -> SchemaRef {
    let fields = names
        .iter()
        .map(|name| Field::new(name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Append `_2`, `_3` … to repeated names: Jira writes `Sprint` once for each sprint of an issue. Skip a number if the
/// numbered name is in the header too.
fn distinct(names: Vec<String>) -> Vec<String> {
    let mut taken: BTreeSet<String> = names.iter().cloned().collect();
    let mut seen = BTreeSet::new();
    let number = |name: String| {
        if seen.insert(name.clone()) {
            return name;
        }
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        let free = numbered.into_iter().find(|free| !taken.contains(free));
        let free = free.unwrap_or(name);
        taken.insert(free.clone());
        free
    };
    names.into_iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<String> {
        distinct(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn rows(texts: &[&str]) -> Result<Vec<String>> {
        use datafusion::arrow::util::display::array_value_to_string;

        let files: Vec<_> = texts
            .iter()
            .map(|text| TextFile::of(text.as_bytes()))
            .collect();
        let schema = schema(&files)?;
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let mut rows = vec![names.collect::<Vec<_>>().join("|")];
        for file in &files {
            read(file, &schema, |batch| {
                for row in 0..batch.num_rows() {
                    let cells = batch
                        .columns()
                        .iter()
                        .map(|column| match column.is_null(row) {
                            true => "-".to_owned(),
                            false => array_value_to_string(column, row).unwrap(),
                        });
                    rows.push(cells.collect::<Vec<_>>().join("|"));
                }
                Ok(())
            })?;
        }
        Ok(rows)
    }

    #[test]
    fn repeated_names_are_numbered_without_collisions() {
        assert_eq!(
            named(&["Sprint", "Key", "Sprint", "Sprint"]),
            ["Sprint", "Key", "Sprint_2", "Sprint_3"]
        );
        assert_eq!(
            named(&["Sprint", "Sprint", "Sprint_2", "Sprint"]),
            ["Sprint", "Sprint_3", "Sprint_2", "Sprint_4"]
        );
        assert_eq!(
            named(&["a_2", "a_2", "a", "a"]),
            ["a_2", "a_2_2", "a", "a_3"]
        );
    }

    #[test]
    fn a_file_is_read_by_its_own_header() {
        assert_eq!(
            rows(&["id,name\n1,Ada\n", "name,id,mail\nBob,2,b@x\n", ""]).unwrap(),
            ["id|name|mail", "1|Ada|-", "2|Bob|b@x"]
        );
    }

    #[test]
    fn a_file_without_rows_has_columns_and_an_empty_file_has_none() {
        assert_eq!(rows(&["id,name\n"]).unwrap(), ["id|name"]);
        assert_eq!(rows(&["\u{feff}id,name"]).unwrap(), ["id|name"]);
        for empty in ["", "\u{feff}", "\n\n", "  \n \n"] {
            assert_eq!(rows(&[empty]).unwrap(), [""], "{empty:?}");
        }
    }

    #[test]
    fn exported_nulls_are_read_as_null() {
        assert_eq!(
            rows(&["id,a,b,c,d\n1,NULL,\\N,,NULLS\n"]).unwrap(),
            ["id|a|b|c|d", "1|-|-|-|NULLS"]
        );
    }

    #[test]
    fn a_row_of_another_length_is_an_error_that_names_the_line() {
        let failure = rows(&["id,name\n1,Ada\n2\n"]).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Configuration);
        assert!(failure.to_string().contains("line 3"), "{failure}");
    }
}
