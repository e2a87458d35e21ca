//! Replaces invalid values of outside tables by null, and counts them for the run report: placeholder times, times
//! outside the range of the engines, negative durations, and numbers that are not finite. Otherwise they would create
//! two thousand years of periods, or fail a cast in a later step.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use datafusion::arrow::compute::{cast, nullif};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::util::display::array_value_to_string;

use crate::error::{ErrorKind, OrError, Result};
use crate::schema::Contract;
use crate::schema::times::{RANGE, is_beyond_calendars, is_placeholder, is_storable};

const FAILED: &str = "cannot put checked values back";
/// The units of columns that hold durations.
const DURATIONS: [&str; 2] = ["seconds", "minutes"];
/// The number of examples for each column.
const EXAMPLES: usize = 3;

/// The reason why a value is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InvalidValue {
    Time,
    Duration,
    Number,
}

impl InvalidValue {
    pub(super) fn reason(self) -> String {
        match self {
            Self::Time => format!("placeholder times, or times outside {RANGE}"),
            Self::Duration => "negative durations".to_owned(),
            Self::Number => "NaN or infinite numbers".to_owned(),
        }
    }
}

/// The values removed from one column.
#[derive(Debug, Default)]
pub(super) struct RemovedValues {
    pub rows: u64,
    /// Examples such as `9999-12-31T23:59:59Z (id=i1)`.
    pub examples: Vec<String>,
}

/// Replaces invalid values by null and counts them by column.
#[derive(Debug, Default)]
pub(super) struct ValueFilter {
    pub removed: BTreeMap<(String, InvalidValue), RemovedValues>,
}

impl ValueFilter {
    /// Remove times that cannot be cast to the type of their column: texts with years that no parser accepts, such as
    /// `0000-00-00`, and numbers of days or seconds that overflow.
    pub(super) fn remove_uncastable_times(
        &mut self,
        contract: &Contract,
        batch: &RecordBatch,
    ) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        for (column, array) in contract.columns.iter().zip(&mut columns) {
            if !matches!(column.data_type, DataType::Timestamp(..)) {
                continue;
            }
            let is_invalid = remove_uncastable_times(array, &column.data_type)?;
            let key = |row| key(contract, batch, row);
            *array = self.nullify(InvalidValue::Time, &column.name, array, is_invalid, key)?;
        }
        RecordBatch::try_new(batch.schema(), columns).or_error(ErrorKind::Internal, FAILED)
    }

    /// Remove invalid values from a batch that has the types of the contract, also within structs and lists.
    pub(super) fn check(
        &mut self,
        contract: &Contract,
        batch: &RecordBatch,
    ) -> Result<RecordBatch> {
        let columns = contract.columns.iter().zip(batch.columns());
        let columns = columns.map(|(column, array)| {
            let rows: Vec<_> = (0..batch.num_rows()).collect();
            let key = |row| key(contract, batch, row);
            let array = self.column(&column.name, array, &rows, &key)?;
            let is_duration = column
                .unit
                .as_deref()
                .is_some_and(|unit| DURATIONS.contains(&unit));
            match is_duration {
                true => self.durations(&column.name, &array, &key),
                false => Ok(array),
            }
        });
        RecordBatch::try_new(batch.schema(), columns.collect::<Result<_>>()?)
            .or_error(ErrorKind::Internal, FAILED)
    }

    /// Remove invalid values from a column. `rows` has the row of the batch that each value belongs to.
    fn column(
        &mut self,
        path: &str,
        array: &ArrayRef,
        rows: &[usize],
        key: &dyn Fn(usize) -> String,
    ) -> Result<ArrayRef> {
        let row_of = |n: usize| rows.get(n).copied().unwrap_or_default();
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let times = array.as_primitive::<TimestampMicrosecondType>();
                let is_invalid_time = |micros: i64| !is_storable(micros) || is_placeholder(micros);
                let is_invalid = times.iter().map(|time| time.is_some_and(is_invalid_time));
                self.nullify(InvalidValue::Time, path, array, is_invalid.collect(), |n| {
                    key(row_of(n))
                })
            }
            DataType::Float64 => {
                let numbers = array.as_primitive::<Float64Type>().iter();
                let is_invalid =
                    numbers.map(|number| number.is_some_and(|number| !number.is_finite()));
                self.nullify(
                    InvalidValue::Number,
                    path,
                    array,
                    is_invalid.collect(),
                    |n| key(row_of(n)),
                )
            }
            DataType::Struct(fields) => {
                let parts = array.as_struct();
                let inner = fields.iter().zip(parts.columns()).map(|(field, column)| {
                    self.column(&format!("{path}.{}", field.name()), column, rows, key)
                });
                let inner = inner.collect::<Result<Vec<_>>>()?;
                let made = StructArray::try_new(fields.clone(), inner, parts.nulls().cloned());
                Ok(Arc::new(made.or_error(ErrorKind::Internal, FAILED)?))
            }
            DataType::List(field) => {
                let list = array.as_list::<i32>();
                let mut owners = vec![0; list.values().len()];
                for (row, bounds) in rows.iter().zip(list.offsets().windows(2)) {
                    if let [start, end] = *bounds
                        && let (Ok(start), Ok(end)) = (start.try_into(), end.try_into())
                        && let Some(owned) = owners.get_mut::<Range<usize>>(start..end)
                    {
                        owned.fill(*row);
                    }
                }
                let values = self.column(path, list.values(), &owners, key)?;
                let made = ListArray::try_new(
                    Arc::clone(field),
                    list.offsets().clone(),
                    values,
                    list.nulls().cloned(),
                );
                Ok(Arc::new(made.or_error(ErrorKind::Internal, FAILED)?))
            }
            _ => Ok(Arc::clone(array)),
        }
    }

    fn durations(
        &mut self,
        column: &str,
        array: &ArrayRef,
        key: &dyn Fn(usize) -> String,
    ) -> Result<ArrayRef> {
        let is_invalid: Vec<_> = match array.data_type() {
            DataType::Int64 => {
                let numbers = array.as_primitive::<Int64Type>().iter();
                numbers
                    .map(|number| number.is_some_and(|number| number < 0))
                    .collect()
            }
            DataType::Float64 => {
                let numbers = array.as_primitive::<Float64Type>().iter();
                numbers
                    .map(|number| number.is_some_and(|number| number < 0.0))
                    .collect()
            }
            _ => return Ok(Arc::clone(array)),
        };
        self.nullify(InvalidValue::Duration, column, array, is_invalid, key)
    }

    /// Return `array` with null where `is_invalid` is true, and record the values.
    fn nullify(
        &mut self,
        why: InvalidValue,
        column: &str,
        array: &ArrayRef,
        is_invalid: Vec<bool>,
        key: impl Fn(usize) -> String,
    ) -> Result<ArrayRef> {
        if !is_invalid.contains(&true) {
            return Ok(Arc::clone(array));
        }
        let invalid = is_invalid.iter().enumerate();
        for (n, _) in invalid.filter(|(_, is_invalid)| **is_invalid) {
            let text = array_value_to_string(array, n);
            let text = text.unwrap_or_else(|_| "outside the calendar".to_owned());
            self.record(why, column, &text, || key(n));
        }
        nullif(array, &is_invalid.into()).or_error(ErrorKind::Internal, FAILED)
    }

    fn record(
        &mut self,
        why: InvalidValue,
        column: &str,
        value: &str,
        key: impl FnOnce() -> String,
    ) {
        let removed = self.removed.entry((column.to_owned(), why)).or_default();
        removed.rows += 1;
        if removed.examples.len() < EXAMPLES {
            removed.examples.push(format!("{value} ({})", key()));
        }
    }
}

/// Return for each value whether it is a time that cannot be cast to `to`.
fn remove_uncastable_times(array: &ArrayRef, to: &DataType) -> Result<Vec<bool>> {
    if array.data_type().is_string() {
        let texts = cast(array, &DataType::Utf8);
        let texts = texts.or_error(ErrorKind::Internal, "cannot read texts")?;
        let texts = texts.as_string::<i32>().iter();
        return Ok(texts
            .map(|text| text.is_some_and(is_beyond_calendars))
            .collect());
    }
    if !array.data_type().is_temporal() {
        return Ok(Vec::new());
    }
    // The cast returns null for a value that it cannot convert.
    let times = cast(array, to).or_error(ErrorKind::Contract, "cannot cast times")?;
    let rows = 0..array.len();
    Ok(rows
        .map(|row| array.is_valid(row) && times.is_null(row))
        .collect())
}

/// Return the key of a row as text, such as `id=i1`.
fn key(contract: &Contract, batch: &RecordBatch, row: usize) -> String {
    let columns = contract.primary_key.iter().filter_map(|name| {
        let value = array_value_to_string(batch.column_by_name(name)?, row).ok()?;
        Some(format!("{name}={value}"))
    });
    columns.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Schema;
    use datafusion::arrow::util::pretty::pretty_format_batches;

    use super::*;
    use crate::schema::Contracts;

    #[test]
    fn times_within_structs_and_lists_are_checked() {
        let text = r#"{"description": "d", "version": 1, "primary_key": ["id"], "columns": [
            {"name": "id", "type": "string", "nullable": false},
            {"name": "made", "type": {"struct": [{"name": "on", "type": "timestamp"}, {"name": "by", "type": "string"}]}},
            {"name": "seen", "type": {"list": {"struct": [{"name": "on", "type": "timestamp"}]}}}]}"#;
        let contracts = Contracts::parse("{}", [("bitbucket", "t", text)]).unwrap();
        let contract = contracts.require("bitbucket", "t").unwrap();
        let schema = Arc::clone(&contract.arrow_schema());
        let mut decoder = arrow_json::ReaderBuilder::new(schema)
            .build_decoder()
            .unwrap();
        let rows = [
            r#"{"id": "a", "made": {"on": "2300-01-01T00:00:00Z", "by": "Ada"}, "seen": []}"#,
            r#"{"id": "b", "seen": [{"on": "2026-05-01T00:00:00Z"}]}"#,
            r#"{"id": "c", "made": {"on": "2026-05-01T00:00:00Z"}, "seen": [{"on": "0001-01-01T00:00:00Z"}, {"on": "2026-05-02T00:00:00Z"}]}"#,
        ];
        decoder.decode(rows.join("\n").as_bytes()).unwrap();
        let batch = decoder.flush().unwrap().unwrap();
        let mut filter = ValueFilter::default();
        let checked = filter.check(contract, &batch).unwrap();
        let examples: Vec<_> = filter.removed.iter().collect();
        assert_eq!(examples.len(), 2);
        assert_eq!(examples[0].0.0, "made.on");
        assert_eq!(examples[0].1.examples, ["2300-01-01T00:00:00Z (id=a)"]);
        assert_eq!(examples[1].0.0, "seen.on");
        assert_eq!(examples[1].1.examples, ["0001-01-01T00:00:00Z (id=c)"]);
        let text = pretty_format_batches(&[checked]).unwrap().to_string();
        for kept in ["Ada", "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"] {
            assert!(text.contains(kept), "{text}");
        }
        assert!(
            !text.contains("2300") && !text.contains("0001-01-01"),
            "{text}"
        );
    }

    #[test]
    fn days_and_seconds_that_overflow_become_null() {
        use datafusion::arrow::array::{Date32Array, TimestampSecondArray};
        use datafusion::arrow::datatypes::Field;

        let text = r#"{"description": "d", "version": 1, "primary_key": [], "columns": [
            {"name": "day", "type": "timestamp"}, {"name": "second", "type": "timestamp"}]}"#;
        let contracts = Contracts::parse("{}", [("domain", "t", text)]).unwrap();
        let contract = contracts.require("domain", "t").unwrap();
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(i32::MAX), Some(20_000), None]));
        let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![
            Some(i64::MIN),
            None,
            Some(1_780_000_000),
        ]));
        let fields = [("day", &days), ("second", &seconds)]
            .map(|(name, array)| Field::new(name, array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let batch = RecordBatch::try_new(schema, vec![days, seconds]).unwrap();
        let mut filter = ValueFilter::default();
        let batch = filter.remove_uncastable_times(contract, &batch).unwrap();
        assert_eq!(batch.column(0).null_count(), 2);
        assert_eq!(batch.column(1).null_count(), 2);
        let batch = crate::schema::conform(contract, &batch).unwrap();
        assert_eq!(filter.check(contract, &batch).unwrap().num_rows(), 3);
        let rows: Vec<_> = filter
            .removed
            .values()
            .map(|removed| removed.rows)
            .collect();
        assert_eq!(rows, [1, 1]);
    }
}
