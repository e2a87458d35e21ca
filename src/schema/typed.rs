//! Decode the columns of the source layer that come from the record's JSON. A value of the wrong type becomes null.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::columns::{ColumnBuilder, Misfits};
use super::contract::Contract;
use super::times::OddTimes;
use crate::error::{ErrorKind, OrError, Result};
use crate::redaction::RedactedRecord;

/// A decoder of the columns that come from the record's JSON.
#[derive(Debug)]
pub(super) struct PayloadDecoder {
    /// The contract's columns that do not start with `_`.
    schema: SchemaRef,
    /// One for each column.
    builders: Vec<ColumnBuilder>,
    misfits: Misfits,
}

impl PayloadDecoder {
    pub(super) fn new(contract: &Contract) -> Self {
        let schema = contract.arrow_schema();
        let fields = schema.fields().iter();
        let typed: Vec<_> = fields
            .filter(|field| !field.name().starts_with('_'))
            .cloned()
            .collect();
        let builders = typed.iter().map(|field| ColumnBuilder::new(field, ""));
        Self {
            builders: builders.collect(),
            schema: Arc::new(Schema::new(typed)),
            misfits: Misfits::default(),
        }
    }

    pub(super) fn take_misfits(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.misfits.counts)
    }

    pub(super) fn misfits(&self) -> &BTreeMap<String, u64> {
        &self.misfits.counts
    }

    pub(super) fn take_odd_times(&mut self) -> BTreeMap<String, OddTimes> {
        std::mem::take(&mut self.misfits.odd_times)
    }

    /// Append a row.
    pub(super) fn append(&mut self, record: &RedactedRecord) {
        let record = record.value();
        if !record.is_object() {
            self.misfits.add("(record)");
        }
        for builder in &mut self.builders {
            builder.append_of(record, &mut self.misfits);
        }
    }

    /// Return the rows, and start over.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        let columns = self.builders.iter_mut().map(ColumnBuilder::finish);
        let columns = columns.collect::<std::result::Result<_, _>>();
        columns
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&self.schema), columns))
            .or_error(ErrorKind::Internal, "cannot decode records")
    }
}
