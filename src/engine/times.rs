//! Makes SQL timestamps count microseconds, as the lake's files and DuckDB do.
//!
//! DataFusion's `TIMESTAMP` and `to_timestamp` count nanoseconds, which range from 1677 to 2262 only. A single text of
//! the year 9999 would fail the whole query.

use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{DataType as SqlType, Expr, visit_expressions_mut};

use crate::error::{ErrorKind, OrError};

const MICROSECONDS: u64 = 6;

/// Give every `TIMESTAMP` without a precision the precision of microseconds.
pub(super) fn in_microseconds(statement: &mut Statement) {
    let Statement::Statement(statement) = statement else {
        return;
    };
    let _ = visit_expressions_mut(statement, |expression| {
        let data_type = match expression {
            Expr::Cast { data_type, .. } => data_type,
            Expr::TypedString(literal) => &mut literal.data_type,
            _ => return ControlFlow::<()>::Continue(()),
        };
        if let SqlType::Timestamp(precision @ None, _) = data_type {
            *precision = Some(MICROSECONDS);
        }
        ControlFlow::Continue(())
    });
}

/// Wrap the built-in `to_timestamp` in a function that returns microseconds.
pub(super) fn to_timestamp(context: &SessionContext) -> crate::error::Result<ScalarUDF> {
    let state = context.state();
    let builtin = state
        .scalar_functions()
        .get("to_timestamp")
        .ok_or("to_timestamp")
        .or_error(ErrorKind::Internal, "DataFusion lacks a function")?;
    Ok(ScalarUDF::from(ToTimestamp {
        builtin: Arc::clone(builtin),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToTimestamp {
    builtin: Arc<ScalarUDF>,
}

fn returned() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

impl ScalarUDFImpl for ToTimestamp {
    fn name(&self) -> &str {
        self.builtin.name()
    }

    fn signature(&self) -> &Signature {
        self.builtin.signature()
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(returned())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let failure = match self.builtin(args.clone()) {
            Ok(times) => return Ok(ColumnarValue::Array(times)),
            Err(failure) => failure,
        };
        let Some((texts, formats)) = texts(&args)? else {
            return Err(failure);
        };
        // One of the texts is outside the range of nanoseconds, or not a time. Parse each by itself.
        let mut times = Vec::with_capacity(texts.len());
        for (row, text) in texts.iter().enumerate() {
            let parsed = text.and_then(|text| parse(text, &formats, row));
            times.push(match (text, parsed) {
                (None, _) => Arc::new(TimestampMicrosecondArray::new_null(1)) as ArrayRef,
                (Some(_), Some(micros)) => Arc::new(TimestampMicrosecondArray::from(vec![micros])),
                (Some(_), None) => self.builtin(one_row(&args, row)?)?,
            });
        }
        let times: Vec<_> = times.iter().map(|array| array.as_ref()).collect();
        Ok(ColumnarValue::Array(concat(&times)?))
    }
}

impl ToTimestamp {
    fn builtin(&self, mut args: ScalarFunctionArgs) -> Result<ArrayRef> {
        let rows = args.number_rows;
        let types: Vec<_> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let data_type = self.builtin.inner().return_type(&types)?;
        args.return_field = Arc::new(Field::new("time", data_type, true));
        let times = self.builtin.invoke_with_args(args)?.into_array(rows)?;
        Ok(cast(&times, &returned())?)
    }
}

type Formats = Vec<StringArray>;

/// Return the texts and the formats of each row; `None` if an argument is not text.
fn texts(args: &ScalarFunctionArgs) -> Result<Option<(StringArray, Formats)>> {
    let arrays = args
        .args
        .iter()
        .map(|value| value.to_array(args.number_rows))
        .collect::<Result<Vec<_>>>()?;
    let mut columns = Vec::new();
    for array in &arrays {
        if !array.data_type().is_string() {
            return Ok(None);
        }
        let array = cast(array, &DataType::Utf8)?;
        columns.push(array.as_string::<i32>().clone());
    }
    if columns.is_empty() {
        return Ok(None);
    }
    let formats = columns.split_off(1);
    Ok(columns.pop().map(|texts| (texts, formats)))
}

fn one_row(args: &ScalarFunctionArgs, row: usize) -> Result<ScalarFunctionArgs> {
    let mut one = args.clone();
    for value in &mut one.args {
        *value = ColumnarValue::Array(value.to_array(args.number_rows)?.slice(row, 1));
    }
    one.number_rows = 1;
    Ok(one)
}

/// Parse a time into microseconds since 1970. A format without a zone means UTC, one without a time midnight.
fn parse(text: &str, formats: &Formats, row: usize) -> Option<i64> {
    if formats.is_empty() {
        let parsed =
            datafusion::arrow::compute::kernels::cast_utils::string_to_datetime(&chrono::Utc, text);
        return parsed.ok().map(|time| time.timestamp_micros());
    }
    formats.iter().find_map(|column| {
        let format = column.is_valid(row).then(|| column.value(row))?;
        let zoned = DateTime::parse_from_str(text, format).map(|time| time.to_utc());
        let local = || NaiveDateTime::parse_from_str(text, format).map(|time| time.and_utc());
        let day = || {
            let day = NaiveDate::parse_from_str(text, format);
            day.map(|day| day.and_time(NaiveTime::MIN).and_utc())
        };
        let time = zoned.or_else(|_| local()).or_else(|_| day()).ok()?;
        Some(time.timestamp_micros())
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;

    use crate::engine::Engine;

    async fn one(sql: &str) -> Result<String, String> {
        let engine = Engine::new(None).unwrap();
        let frame = engine.plan(sql, &[]).await.map_err(|e| e.to_string())?;
        let batches = frame.collect().await.map_err(|e| e.to_string())?;
        let column = batches[0].column(0);
        Ok(array_value_to_string(column, batches[0].num_rows() - 1).unwrap())
    }

    #[tokio::test]
    async fn times_outside_the_range_of_nanoseconds_are_parsed() {
        for (sql, expected) in [
            (
                "cast('9999-12-31T23:59:59Z' AS timestamp)",
                "9999-12-31T23:59:59",
            ),
            ("'0001-01-01'::timestamp", "0001-01-01T00:00:00"),
            ("timestamp '9999-12-31 00:00:00'", "9999-12-31T00:00:00"),
            ("try_cast('2300-01-01' AS timestamp)", "2300-01-01T00:00:00"),
            (
                "to_timestamp('9999-12-31T00:00:00Z')",
                "9999-12-31T00:00:00",
            ),
            (
                "to_timestamp('31/Dec/9999', '%d/%b/%Y')",
                "9999-12-31T00:00:00",
            ),
            (
                "to_timestamp('9999-12-31 10:11', '%Y-%m-%d %H:%M')",
                "9999-12-31T10:11:00",
            ),
            (
                "to_timestamp('04/May/26 9:12 AM', '%d/%b/%y %I:%M %p')",
                "2026-05-04T09:12:00",
            ),
            ("to_timestamp(1757502000)", "2025-09-10T11:00:00"),
            ("to_timestamp(NULL, '%Y')", ""),
        ] {
            assert_eq!(
                one(&format!("SELECT {sql}")).await.unwrap(),
                expected,
                "{sql}"
            );
        }
    }

    #[tokio::test]
    async fn a_text_that_is_not_a_time_fails_beside_valid_rows() {
        let rows = |last: &str| {
            format!(
                "SELECT to_timestamp(t, '%Y-%m-%d') FROM (VALUES (1, '2026-01-01'), (2, NULL), (3, '9999-12-31'), (4, '{last}')) AS v (n, t) ORDER BY n"
            )
        };
        assert_eq!(
            one(&rows("2026-01-02")).await.unwrap(),
            "2026-01-02T00:00:00"
        );
        let failure = one(&rows("yesterday")).await.unwrap_err();
        assert!(failure.contains("yesterday"), "{failure}");
    }
}
