//! Replaces some rows of a sorted stream. The rows between them are neither compared nor copied one by one.

use std::cmp::Ordering;

use datafusion::arrow::array::{DynComparator, RecordBatch, UInt64Array, make_comparator};
use datafusion::arrow::compute::{SortOptions, concat_batches, take_record_batch};
use datafusion::arrow::error::ArrowError;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};

/// The rows to remove from a sorted stream, and those to add.
pub struct RowEdits {
    /// The positions of the columns that the rows are sorted by.
    key: Vec<usize>,
    removed: RecordBatch,
    added: RecordBatch,
    /// The number of rows that are removed already.
    removed_rows: usize,
    /// The number of rows that are added already.
    added_rows: usize,
}

impl RowEdits {
    /// Return what turns the `old` rows into the `new` ones. Both have the same columns, and are in ascending order of the
    /// `key` columns, nulls first.
    ///
    /// # Errors
    /// Arrow's own error, for a column that does not exist or cannot be compared.
    pub fn between(old: &RecordBatch, new: &RecordBatch, key: &[String]) -> Result<Self> {
        let schema = old.schema();
        let key = key.iter().map(|name| schema.index_of(name));
        let key = key.collect::<Result<Vec<_>, _>>()?;
        let all: Vec<_> = (0..schema.fields().len()).collect();
        let by_key = RowOrder::between(old, new, &key)?;
        let by_all = RowOrder::between(old, new, &all)?;
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let (mut one, mut other) = (0, 0);
        while one < old.num_rows() || other < new.num_rows() {
            let order = if one == old.num_rows() {
                Ordering::Greater
            } else if other == new.num_rows() {
                Ordering::Less
            } else {
                by_key.compare(one, other)
            };
            let is_same = order.is_eq() && by_all.compare(one, other).is_eq();
            if order.is_le() {
                removed.extend((!is_same).then_some(one as u64));
                one += 1;
            }
            if order.is_ge() {
                added.extend((!is_same).then_some(other as u64));
                other += 1;
            }
        }
        Ok(Self {
            key,
            removed: take_record_batch(old, &UInt64Array::from(removed))?,
            added: take_record_batch(new, &UInt64Array::from(added))?,
            removed_rows: 0,
            added_rows: 0,
        })
    }

    /// Apply the edits to a stream in the same order that has all of the old rows.
    pub fn apply(mut self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema = rows.schema();
        let batches = rows.map(Some).chain(stream::iter([None]));
        let edited = batches.map(move |batch| match batch {
            Some(batch) => self.edit(&batch?),
            None => self.finish(),
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, edited))
    }

    fn edit(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let to_removed = RowOrder::between(batch, &self.removed, &self.key)?;
        let to_added = RowOrder::between(batch, &self.added, &self.key)?;
        let rows = batch.num_rows();
        let mut pieces = Vec::new();
        let mut from = 0;
        loop {
            let place = |order: &RowOrder, next: usize, count: usize| match next < count {
                true => first_not_less(from, rows, |row| order.compare(row, next)),
                false => rows,
            };
            let removed_at = place(&to_removed, self.removed_rows, self.removed.num_rows());
            let added_at = place(&to_added, self.added_rows, self.added.num_rows());
            let until = removed_at.min(added_at);
            pieces.push(batch.slice(from, until - from));
            if until == rows {
                break;
            }
            from = until;
            if added_at == until {
                pieces.push(self.added.slice(self.added_rows, 1));
                self.added_rows += 1;
            } else if to_removed.compare(until, self.removed_rows).is_eq() {
                self.removed_rows += 1;
                from += 1;
            } else {
                return internal_err!("a row to replace is missing");
            }
        }
        pieces.retain(|piece| piece.num_rows() > 0);
        match pieces.as_slice() {
            [piece] => Ok(piece.clone()),
            pieces => Ok(concat_batches(batch.schema_ref(), pieces)?),
        }
    }

    /// Return the rows to add after the last one.
    fn finish(&self) -> Result<RecordBatch> {
        if self.removed_rows < self.removed.num_rows() {
            return internal_err!("a row to replace is missing");
        }
        let rest = self.added.num_rows() - self.added_rows;
        Ok(self.added.slice(self.added_rows, rest))
    }
}

/// Compares rows of two batches by some columns.
struct RowOrder(Vec<DynComparator>);

impl RowOrder {
    fn between(
        one: &RecordBatch,
        other: &RecordBatch,
        columns: &[usize],
    ) -> Result<Self, ArrowError> {
        let options = SortOptions {
            descending: false,
            nulls_first: true,
        };
        let comparators = columns
            .iter()
            .map(|at| make_comparator(one.column(*at), other.column(*at), options));
        comparators.collect::<Result<_, _>>().map(Self)
    }

    fn compare(&self, row: usize, other: usize) -> Ordering {
        let orders = self.0.iter().map(|compare| compare(row, other));
        let mut differing = orders.filter(|order| order.is_ne());
        differing.next().unwrap_or(Ordering::Equal)
    }
}

/// Return the first of the sorted rows from `from` to `until` that is not less than what it is compared with; `until` if
/// all are less.
fn first_not_less(from: usize, until: usize, compare: impl Fn(usize) -> Ordering) -> usize {
    // Most batches have no row to edit.
    if until > from && compare(until - 1).is_lt() {
        return until;
    }
    let (mut low, mut high) = (from, until);
    while low < high {
        let middle = low.midpoint(high);
        match compare(middle).is_lt() {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use datafusion::arrow::array::{AsArray, Int64Array, StringArray};
    use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
    use futures::TryStreamExt;
    use proptest::prelude::*;

    use super::*;

    /// Rows by their key.
    type Rows = BTreeMap<(Option<i64>, String), i64>;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("value", DataType::Int64, true),
            Field::new("n", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
        ]))
    }

    fn batch(rows: &Rows) -> RecordBatch {
        let values: Int64Array = rows.values().map(|value| Some(*value)).collect();
        let numbers: Int64Array = rows.keys().map(|(n, _)| *n).collect();
        let texts: StringArray = rows.keys().map(|(_, text)| Some(text.as_str())).collect();
        let columns: Vec<_> = vec![
            Arc::new(values) as _,
            Arc::new(numbers) as _,
            Arc::new(texts) as _,
        ];
        RecordBatch::try_new(schema(), columns).unwrap()
    }

    /// Apply the edits to the rows in batches of `size`.
    fn edited(old: &Rows, new: &Rows, all: &Rows, size: usize) -> Result<RecordBatch> {
        let key = ["n", "text"].map(str::to_owned);
        let edits = RowEdits::between(&batch(old), &batch(new), &key)?;
        let all = batch(all);
        let starts = (0..all.num_rows()).step_by(size);
        let batches = starts.map(|at| Ok(all.slice(at, size.min(all.num_rows() - at))));
        let batches: Vec<_> = batches.collect();
        let rows = RecordBatchStreamAdapter::new(schema(), stream::iter(batches));
        let edited = edits.apply(Box::pin(rows)).try_collect::<Vec<_>>();
        let edited = futures::executor::block_on(edited)?;
        Ok(concat_batches(&schema(), &edited)?)
    }

    fn rows(count: usize) -> impl Strategy<Value = Rows> {
        let key = (prop::option::of(0..6i64), "[ab]{0,2}");
        prop::collection::btree_map(key, 0..3i64, 0..count)
    }

    proptest! {
        #[test]
        fn old_rows_give_way_to_new_ones(all in rows(40), new in rows(20), picks in any::<u64>(), size in 1usize..9) {
            let picked = |at: usize| picks >> (at % 64) & 1 == 1;
            let old: Rows = all.clone().into_iter().enumerate().filter(|(at, _)| picked(*at)).map(|(_, row)| row).collect();
            let others = all.iter().filter(|(key, _)| !old.contains_key(*key));
            let others: Rows = others.map(|(key, value)| (key.clone(), *value)).collect();
            // A key of another row is not among the new ones.
            let new: Rows = new.into_iter().filter(|(key, _)| !others.contains_key(key)).collect();
            let expected: Rows = others.into_iter().chain(new.clone()).collect();
            prop_assert_eq!(edited(&old, &new, &all, size).unwrap(), batch(&expected));
        }
    }

    #[test]
    fn rows_that_are_the_same_are_not_edited() {
        let old = Rows::from([
            ((Some(1), "a".to_owned()), 1),
            ((Some(2), "a".to_owned()), 1),
        ]);
        let mut new = old.clone();
        new.insert((Some(2), "a".to_owned()), 2);
        let edits = RowEdits::between(&batch(&old), &batch(&new), &["n".to_owned()]).unwrap();
        let numbers =
            |rows: &RecordBatch| rows.column(1).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(
            (numbers(&edits.removed), numbers(&edits.added)),
            (vec![2], vec![2])
        );
    }

    #[test]
    fn a_stream_without_a_row_to_replace_is_an_error() {
        let old = Rows::from([((Some(2), "a".to_owned()), 1)]);
        for others in [1, 3] {
            let all = Rows::from([((Some(others), "a".to_owned()), 1)]);
            let error = edited(&old, &Rows::new(), &all, 8).unwrap_err();
            assert!(error.to_string().contains("is missing"), "{error}");
        }
    }
}
