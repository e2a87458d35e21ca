//! What a transform tells while it runs, for a progress display.

use std::fmt;
use std::sync::Arc;

use crate::engine::TableName;

/// A step of a transform.
#[derive(Debug, Clone, Copy)]
pub enum TransformEvent<'a> {
    /// The collected records of this table are read.
    Reading {
        /// `layer.table`.
        table: &'a str,
    },
    /// A table is being made.
    Started {
        /// The table.
        table: &'a TableName,
    },
    /// A table was made, or is kept as it is published.
    Finished {
        /// The table.
        table: &'a TableName,
        /// Its rows; 0 if it is kept.
        rows: u64,
        /// The tables that are made or kept so far.
        done: usize,
        /// All tables that are to be made or kept, as far as is known.
        total: usize,
    },
    /// The checks run.
    Checking,
    /// Files are put into the lake.
    Publishing {
        /// The files that were put.
        done: u64,
        /// The files to put.
        total: u64,
    },
}

/// The receiver of a transform's events. The default one ignores them.
#[derive(Clone, Default)]
pub struct TransformListener(Option<Arc<Receiver>>);

type Receiver = dyn Fn(TransformEvent<'_>) + Send + Sync;

impl TransformListener {
    /// Return a listener that calls `receive` with each event.
    pub fn new(receive: impl Fn(TransformEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(receive)))
    }

    pub(super) fn tell(&self, event: TransformEvent<'_>) {
        if let Some(receive) = &self.0 {
            receive(event);
        }
    }
}

impl fmt::Debug for TransformListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransformListener")
    }
}
