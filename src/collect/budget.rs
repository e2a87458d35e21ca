//! The requests of each identity in the last hour, kept on the lake. A run that starts within an hour of another, or after
//! a killed one, counts them against the same budget.
//!
//! Shards run at the same time with different credentials, so each shard keeps its own records.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::shard::Shard;
use crate::bitbucket::{BudgetRecord, BudgetStore, Budgets};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Lake, layout};

struct LakeBudgets {
    lake: Lake,
    shard: Option<Shard>,
}

/// Open the budgets that the lake keeps. The caller holds the lake's lock, and calls [`Budgets::close`] at the end.
pub fn open_budgets(lake: &Lake, shard: Option<Shard>) -> Budgets {
    let lake = lake.clone();
    Budgets::with_store(LakeBudgets { lake, shard })
}

impl LakeBudgets {
    fn path(&self, identity: &str) -> String {
        let shard = self.shard.map(|shard| (shard.number, shard.of));
        layout::budget_file(identity, shard)
    }
}

impl BudgetStore for LakeBudgets {
    fn read<'a>(&'a self, identity: &'a str) -> BoxFuture<'a, Result<Option<BudgetRecord>>> {
        async move {
            let path = self.path(identity);
            let record: Option<BudgetRecord> = self.lake.get_json(&path).await?;
            match record.as_ref().and_then(BudgetRecord::flaw) {
                None => Ok(record),
                Some(flaw) => Err(Error::new(ErrorKind::Lake, "the file is damaged")
                    .with("file", &path)
                    .source(flaw)
                    .hint(layout::repair_hint(&path))),
            }
        }
        .boxed()
    }

    fn write<'a>(&'a self, identity: &'a str, record: BudgetRecord) -> BoxFuture<'a, Result<()>> {
        async move { self.lake.put_json(&self.path(identity), &record).await }.boxed()
    }
}
