//! Times are checked at the door: one that stands for none, or that no engine can hold, is null from here on and named
//! in the report, before it makes two thousand years of periods or fails a cast in another table.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray,
};
use datafusion::arrow::compute::{cast, nullif};
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::util::display::array_value_to_string;

use crate::error::{ErrorKind, OrError, Result};
use crate::schema::Contract;
use crate::schema::times::{is_beyond_calendars, is_placeholder, is_storable};

/// So many rows of a column are shown.
const EXAMPLES: usize = 3;

/// What was taken out of one column.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub rows: u64,
    /// `9999-12-31T23:59:59Z (id=i1)`.
    pub examples: Vec<String>,
}

/// Takes out times, and remembers them by column.
#[derive(Debug, Default)]
pub(super) struct Door {
    pub taken: BTreeMap<String, Taken>,
}

impl Door {
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
            let impossible = impossible(array, &column.data_type)?;
            if impossible.iter().any(|impossible| *impossible) {
                for row in (0..impossible.len()).filter(|row| impossible[*row]) {
                    let text = array_value_to_string(array, row);
                    let text = text.unwrap_or_else(|_| "beyond all calendars".to_owned());
                    self.take(&column.name, &text, || key(contract, batch, row));
                }
                *array = nullif(array, &impossible.into())
                    .or_error(ErrorKind::Internal, "cannot put times back")?;
            }
        }
        RecordBatch::try_new(batch.schema(), columns)
            .or_error(ErrorKind::Internal, "cannot put times back")
    }

    /// Times of a batch of the contract's types, also those within structs and lists.
    pub(super) fn times(
        &mut self,
        contract: &Contract,
        batch: &RecordBatch,
    ) -> Result<RecordBatch> {
        let columns = contract.columns.iter().zip(batch.columns());
        let columns = columns.map(|(column, array)| {
            let rows: Vec<_> = (0..batch.num_rows()).collect();
            let key = |row| key(contract, batch, row);
            self.column(&column.name, array, &rows, &key)
        });
        RecordBatch::try_new(batch.schema(), columns.collect::<Result<_>>()?)
            .or_error(ErrorKind::Internal, "cannot put times back")
    }

    /// `rows`: for each value, the row of the batch that it belongs to.
    fn column(
        &mut self,
        path: &str,
        array: &ArrayRef,
        rows: &[usize],
        key: &dyn Fn(usize) -> String,
    ) -> Result<ArrayRef> {
        let failed = "cannot put times back";
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Ok(self.timestamps(path, array, rows, key))
            }
            DataType::Struct(fields) => {
                let parts = array.as_struct();
                let inner = fields.iter().zip(parts.columns()).map(|(field, column)| {
                    self.column(&format!("{path}.{}", field.name()), column, rows, key)
                });
                let inner = inner.collect::<Result<Vec<_>>>()?;
                let made =
                    StructArray::try_new(fields.clone(), inner, parts.nulls().cloned());
                Ok(Arc::new(made.or_error(ErrorKind::Internal, failed)?))
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
                Ok(Arc::new(made.or_error(ErrorKind::Internal, failed)?))
            }
            _ => Ok(Arc::clone(array)),
        }
    }

    fn timestamps(
        &mut self,
        path: &str,
        array: &ArrayRef,
        rows: &[usize],
        key: &dyn Fn(usize) -> String,
    ) -> ArrayRef {
        let times = array.as_primitive::<TimestampMicrosecondType>();
        let is_odd = |micros: i64| !is_storable(micros) || is_placeholder(micros);
        if !times.iter().flatten().any(is_odd) {
            return Arc::clone(array);
        }
        for (n, micros) in times.iter().enumerate() {
            if micros.is_some_and(is_odd) {
                let text = array_value_to_string(array, n);
                let text = text.unwrap_or_else(|_| "beyond all calendars".to_owned());
                self.take(path, &text, || key(rows[n]));
            }
        }
        let kept = times.unary_opt::<_, TimestampMicrosecondType>(|micros| {
            (!is_odd(micros)).then_some(micros)
        });
        Arc::new(kept.with_data_type(array.data_type().clone()))
    }

    fn take(&mut self, column: &str, value: &str, key: impl FnOnce() -> String) {
        let taken = self.taken.entry(column.to_owned()).or_default();
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
