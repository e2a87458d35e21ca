//! Finds duplicate keys among the rows of a table while they are written.
//!
//! Rows arrive sorted by partition and key. Hashes of keys are compared instead of the keys: equal hashes only raise a
//! suspicion, and [`duplicate_keys`](super::write::duplicate_keys) then reads the table. Without partitions equal keys are
//! neighbours. With partitions the hashes of all rows are kept, eight bytes each, because a key can be in two partitions.

use datafusion::arrow::array::RecordBatch;
use datafusion::common::hash_utils::{RandomState, create_hashes};

use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contract;

/// What is known of the keys of the rows so far.
#[derive(Debug)]
pub(super) struct UniqueKey {
    /// The positions of the key's columns.
    columns: Vec<usize>,
    random: RandomState,
    seen: Seen,
    hashes: Vec<u64>,
}

#[derive(Debug)]
enum Seen {
    /// The table has no key.
    NoKey,
    /// Rows are sorted by key: the last hash.
    Last(Option<u64>),
    /// Rows are sorted by partition first: every hash.
    All(Vec<u64>),
    /// A key may occur twice.
    Suspected,
}

impl UniqueKey {
    pub(super) fn of(contract: &Contract) -> Self {
        let positions = contract.primary_key.iter().filter_map(|name| {
            let mut columns = contract.columns.iter();
            columns.position(|column| column.name == *name)
        });
        let seen = match (contract.primary_key.is_empty(), &contract.partition) {
            (true, _) => Seen::NoKey,
            (false, None) => Seen::Last(None),
            (false, Some(_)) => Seen::All(Vec::new()),
        };
        Self {
            columns: positions.collect(),
            random: RandomState::default(),
            seen,
            hashes: Vec::new(),
        }
    }

    /// Look at rows that conform to the contract. More than `limit` rows in partitions are suspected without a look.
    pub(super) fn add(&mut self, batch: &RecordBatch, limit: usize) -> Result<()> {
        if matches!(self.seen, Seen::NoKey | Seen::Suspected) {
            return Ok(());
        }
        self.hashes.clear();
        self.hashes.resize(batch.num_rows(), 0);
        let columns = self.columns.iter().map(|column| batch.column(*column));
        create_hashes(columns, &self.random, &mut self.hashes)
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot hash a key").source(error))?;
        let is_suspected = match &mut self.seen {
            Seen::Last(last) => {
                let mut is_suspected = false;
                for hash in &self.hashes {
                    is_suspected |= *last == Some(*hash);
                    *last = Some(*hash);
                }
                is_suspected
            }
            Seen::All(all) => {
                all.extend_from_slice(&self.hashes);
                all.len() > limit
            }
            Seen::NoKey | Seen::Suspected => false,
        };
        if is_suspected {
            self.seen = Seen::Suspected;
        }
        Ok(())
    }

    /// Return whether a key may occur twice.
    pub(super) fn finish(self) -> bool {
        match self.seen {
            Seen::NoKey | Seen::Last(_) => false,
            Seen::Suspected => true,
            Seen::All(mut all) => {
                all.sort_unstable();
                all.array_windows().any(|[one, next]| one == next)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::schema::Contracts;

    fn contract(partition: &str) -> Arc<Contract> {
        let text = format!(
            r#"{{"description": "d", "version": 1, "primary_key": ["id", "name"], {partition} "columns": [
                {{"name": "id", "type": "bigint", "nullable": false}},
                {{"name": "name", "type": "string", "nullable": false}}]}}"#
        );
        let contracts = Contracts::parse("{}", [("domain", "t", text.as_str())]).unwrap();
        Arc::clone(contracts.require("domain", "t").unwrap())
    }

    /// Add the rows in batches of `size`, and return whether a key is suspected to occur twice.
    fn suspects(contract: &Contract, rows: &[(i64, String)], size: usize, limit: usize) -> bool {
        let mut key = UniqueKey::of(contract);
        for rows in rows.chunks(size) {
            let ids: Int64Array = rows.iter().map(|(id, _)| Some(*id)).collect();
            let names: StringArray = rows.iter().map(|(_, name)| Some(name.as_str())).collect();
            let schema = contract.arrow_schema();
            let batch = RecordBatch::try_new(schema, vec![Arc::new(ids), Arc::new(names)]).unwrap();
            key.add(&batch, limit).unwrap();
        }
        key.finish()
    }

    const BY_NAME: &str = r#""partition": {"key": "k", "by": "repository", "column": "name"},"#;

    proptest! {
        #[test]
        fn a_key_is_suspected_exactly_when_it_occurs_twice(
            mut rows in prop::collection::vec((0i64..20, "[ab]{0,2}"), 0..40),
            size in 1usize..10,
        ) {
            let distinct: std::collections::BTreeSet<_> = rows.iter().cloned().collect();
            let repeats = distinct.len() < rows.len();
            prop_assert_eq!(suspects(&contract(BY_NAME), &rows, size, 100), repeats);
            rows.sort();
            prop_assert_eq!(suspects(&contract(""), &rows, size, 100), repeats);
        }
    }

    #[test]
    fn more_rows_than_the_limit_are_suspected_in_partitions_only() {
        let rows: Vec<_> = (0..10).map(|id| (id, String::new())).collect();
        assert!(suspects(&contract(BY_NAME), &rows, 3, 5));
        assert!(!suspects(&contract(""), &rows, 3, 5));
    }
}
