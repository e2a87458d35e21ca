//! Typed access to the rows of a bundled query, and the command that prints them.

use std::collections::BTreeMap;

use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, TimeUnit};
use datafusion::arrow::error::ArrowError;

use crate::engine::{Engine, bind_params, declared_params, resolve_moments};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::transform::reports;

/// The calendar by which local times (`2026-10`, `last month`) are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReportCalendar {
    pub(super) zone: Tz,
    /// The time whose month is the present month.
    pub(super) now: DateTime<Utc>,
}

/// A bundled query with the values of its parameters.
#[derive(Debug, Clone)]
pub(super) struct QueryCall {
    name: &'static str,
    params: Vec<(String, String)>,
}

impl QueryCall {
    /// Call the query `name` with the defaults of its parameters.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            params: Vec::new(),
        }
    }

    /// Set a parameter, unless there is no value.
    pub(super) fn with(mut self, param: &str, value: Option<impl Into<String>>) -> Self {
        if let Some(value) = value {
            self.params.push((param.to_owned(), value.into()));
        }
        self
    }

    /// Return the command line that prints the rows of this call.
    pub(super) fn command(&self) -> String {
        let mut command = format!("bitlake query {}", self.name);
        for (name, value) in &self.params {
            command.push_str(" --param ");
            command.push_str(&shell_word(&format!("{name}={value}")));
        }
        command
    }

    /// Run the query. Local times among its parameters are read by `calendar`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if a value does not fit its parameter; [`ErrorKind::Lake`] if the tables cannot be read.
    pub(super) async fn rows(
        &self,
        engine: &Engine,
        calendar: ReportCalendar,
    ) -> Result<Vec<ReportRow>> {
        let known = reports();
        let found = known.iter().find(|(name, _)| name == self.name);
        let (_, sql) = found.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "there is no such query").with("name", self.name)
        })?;
        let mut params = bind_params(declared_params(sql)?, &self.params)?;
        resolve_moments(&mut params, calendar.zone, calendar.now)?;
        let batches = engine.plan(sql, &params).await?.collect().await;
        let batches = batches
            .or_error(ErrorKind::Lake, "cannot compute the report")
            .map_err(|error| error.with("query", self.name))?;
        let mut rows = Vec::new();
        for batch in &batches {
            let decoded = decode(batch).or_error(ErrorKind::Internal, "cannot read a column");
            rows.extend(decoded.map_err(|error| error.with("query", self.name))?);
        }
        Ok(rows)
    }
}

/// Quote a word for a shell, if it needs quotes.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:=,@%+".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
enum RowValue {
    Null,
    Text(String),
    Number(f64),
    Flag(bool),
    Instant(DateTime<Utc>),
}

/// One row of a query, by the names of its columns.
#[derive(Debug, Clone)]
pub(super) struct ReportRow(BTreeMap<String, RowValue>);

impl ReportRow {
    /// Return a text; empty if it is null.
    pub(super) fn text(&self, column: &str) -> &str {
        match self.value(column) {
            RowValue::Text(text) => text,
            _ => "",
        }
    }

    /// Return a number; `None` if it is null.
    pub(super) fn number(&self, column: &str) -> Option<f64> {
        match self.value(column) {
            RowValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Return a count; 0 if it is null.
    pub(super) fn count(&self, column: &str) -> u64 {
        self.number(column).unwrap_or_default() as u64
    }

    /// Return whether a flag is set.
    pub(super) fn flag(&self, column: &str) -> bool {
        matches!(self.value(column), RowValue::Flag(true))
    }

    /// Return an instant; `None` if it is null.
    pub(super) fn instant(&self, column: &str) -> Option<DateTime<Utc>> {
        match self.value(column) {
            RowValue::Instant(instant) => Some(*instant),
            _ => None,
        }
    }

    fn value(&self, column: &str) -> &RowValue {
        let found = self.0.get(column);
        debug_assert!(found.is_some(), "there is no column {column}");
        found.unwrap_or(&RowValue::Null)
    }
}

fn decode(batch: &RecordBatch) -> Result<Vec<ReportRow>, ArrowError> {
    let mut rows = vec![ReportRow(BTreeMap::new()); batch.num_rows()];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        for (row, value) in rows.iter_mut().zip(values(column)?) {
            row.0.insert(field.name().clone(), value);
        }
    }
    Ok(rows)
}

fn values(column: &dyn Array) -> Result<Vec<RowValue>, ArrowError> {
    fn all<T>(
        values: impl Iterator<Item = Option<T>>,
        make: impl Fn(T) -> RowValue,
    ) -> Vec<RowValue> {
        values
            .map(|value| value.map_or(RowValue::Null, &make))
            .collect()
    }
    Ok(match column.data_type() {
        DataType::Boolean => all(column.as_boolean().iter(), RowValue::Flag),
        DataType::Timestamp(_, _) => {
            let column = cast(
                column,
                &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            )?;
            let micros = column.as_primitive::<TimestampMicrosecondType>();
            all(micros.iter(), |micros| {
                DateTime::from_timestamp_micros(micros).map_or(RowValue::Null, RowValue::Instant)
            })
        }
        number if number.is_numeric() => {
            let column = cast(column, &DataType::Float64)?;
            all(
                column.as_primitive::<Float64Type>().iter(),
                RowValue::Number,
            )
        }
        _ => {
            let column = cast(column, &DataType::Utf8)?;
            all(column.as_string::<i32>().iter(), |text: &str| {
                RowValue::Text(text.to_owned())
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_quotes_what_a_shell_would_read_otherwise() {
        let call = QueryCall::new("dora/failures").with("project", Some("it's; $HOME"));
        let call = call.with("n", Some("10")).with("to", None::<String>);
        assert_eq!(
            call.command(),
            r"bitlake query dora/failures --param 'project=it'\''s; $HOME' --param n=10"
        );
    }

    #[tokio::test]
    async fn values_keep_their_types() {
        let engine = Engine::new(None).unwrap();
        let sql = "SELECT 'a' AS t, 2 AS n, true AS f, cast('2026-05-01T10:00:00Z' AS timestamp) AS i, cast(NULL AS double) AS z";
        let batches = engine
            .plan(sql, &[])
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        let rows: Vec<_> = batches.iter().flat_map(|it| decode(it).unwrap()).collect();
        let row = &rows[0];
        assert_eq!(
            (row.text("t"), row.count("n"), row.flag("f")),
            ("a", 2, true)
        );
        assert_eq!(row.instant("i").unwrap().timestamp(), 1_777_629_600);
        assert_eq!(row.number("z"), None);
    }
}
