//! Times and durations are checked at the filter: a time that stands for none, or that no engine can hold, a duration below
//! zero and a number that is none are null from here on and named in the report, before they make two thousand years of
//! periods or fail a cast in another table.

use std::collections::BTreeMap;
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
/// Units of columns that hold durations.
const DURATIONS: [&str; 2] = ["seconds", "minutes"];
/// So many rows of a column are shown.
const EXAMPLES: usize = 3;

/// Why a value was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InvalidValue {
    Time,
    Duration,
    Number,
}

impl InvalidValue {
    pub(super) fn reason(self) -> String {
        match self {
            Self::Time => format!("times that stand for none, or lie outside {RANGE}"),
            Self::Duration => "durations below zero".to_owned(),
            Self::Number => "NaN or infinite numbers".to_owned(),
        }
    }
}

/// What was taken out of one column.
#[derive(Debug, Default)]
pub(super) struct RemovedValues {
    pub rows: u64,
    /// `9999-12-31T23:59:59Z (id=i1)`.
    pub examples: Vec<String>,
}

/// Takes out odd values, and remembers them by column.
#[derive(Debug, Default)]
pub(super) struct ValueFilter {
    pub taken: BTreeMap<(String, InvalidValue), RemovedValues>,
}

impl ValueFilter {
    /// What of the columns of times cannot become one, although it is a time: a text of a year that no parser takes,
    /// such as `0000-00-00`; days and seconds that overflow.
    pub(super) fn impossible(
        &mut self,
        contract: &Contract,
        batch: &RecordBatch,
    ) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        for (column, array) in contract.columns.iter().zip(&mut columns) {
            if !matches!(column.data_type, DataType::Timestamp(..)) {
                continue;
            }
            let odd = impossible(array, &column.data_type)?;
            let key = |row| key(contract, batch, row);
            *array = self.null(InvalidValue::Time, &column.name, array, odd, key)?;
        }
        RecordBatch::try_new(batch.schema(), columns).or_error(ErrorKind::Internal, FAILED)
    }

    /// Takes odd values out of a batch of the contract's types, also out of structs and lists.
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

    /// `rows`: for each value, the row of the batch that it belongs to.
    fn column(
        &mut self,
        path: &str,
        array: &ArrayRef,
        rows: &[usize],
        key: &dyn Fn(usize) -> String,
    ) -> Result<ArrayRef> {
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let times = array.as_primitive::<TimestampMicrosecondType>();
                let is_odd = |micros: i64| !is_storable(micros) || is_placeholder(micros);
                let odd = times.iter().map(|time| time.is_some_and(is_odd));
                self.null(InvalidValue::Time, path, array, odd.collect(), |n| {
                    key(rows[n])
                })
            }
            DataType::Float64 => {
                let numbers = array.as_primitive::<Float64Type>().iter();
                let odd = numbers.map(|number| number.is_some_and(|number| !number.is_finite()));
                self.null(InvalidValue::Number, path, array, odd.collect(), |n| {
                    key(rows[n])
                })
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
                for (row, bounds) in list.offsets().windows(2).enumerate() {
                    let at = |n: usize| usize::try_from(bounds[n]).unwrap_or_default();
                    owners[at(0)..at(1)].fill(rows[row]);
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
        let odd: Vec<_> = match array.data_type() {
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
        self.null(InvalidValue::Duration, column, array, odd, key)
    }

    /// `array` with null where `odd` says so.
    fn null(
        &mut self,
        why: InvalidValue,
        column: &str,
        array: &ArrayRef,
        odd: Vec<bool>,
        key: impl Fn(usize) -> String,
    ) -> Result<ArrayRef> {
        if !odd.contains(&true) {
            return Ok(Arc::clone(array));
        }
        for n in (0..odd.len()).filter(|n| odd[*n]) {
            let text = array_value_to_string(array, n);
            let text = text.unwrap_or_else(|_| "beyond all calendars".to_owned());
            self.take(why, column, &text, || key(n));
        }
        nullif(array, &odd.into()).or_error(ErrorKind::Internal, FAILED)
    }

    fn take(&mut self, why: InvalidValue, column: &str, value: &str, key: impl FnOnce() -> String) {
        let taken = self.taken.entry((column.to_owned(), why)).or_default();
        taken.rows += 1;
        if taken.examples.len() < EXAMPLES {
            taken.examples.push(format!("{value} ({})", key()));
        }
    }
}

/// For each value, whether it is a time that the type cannot hold.
fn impossible(array: &ArrayRef, to: &DataType) -> Result<Vec<bool>> {
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
    // Nulls what it cannot cast.
    let times = cast(array, to).or_error(ErrorKind::Contract, "cannot cast times")?;
    let rows = 0..array.len();
    Ok(rows
        .map(|row| array.is_valid(row) && times.is_null(row))
        .collect())
}

/// `id=i1`: the key of a row.
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
    fn times_within_structs_and_lists_are_checked_too_and_their_rows_are_named() {
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
        let examples: Vec<_> = filter.taken.iter().collect();
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
    fn days_and_seconds_that_overflow_are_taken_out_before_they_fail_a_cast() {
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
        let batch = filter.impossible(contract, &batch).unwrap();
        assert_eq!(batch.column(0).null_count(), 2);
        assert_eq!(batch.column(1).null_count(), 2);
        let batch = crate::schema::conform(contract, &batch).unwrap();
        assert_eq!(filter.check(contract, &batch).unwrap().num_rows(), 3);
        let rows: Vec<_> = filter.taken.values().map(|taken| taken.rows).collect();
        assert_eq!(rows, [1, 1]);
    }
}
