//! What identities have spent, kept on the lake, so that a run which follows another within the hour, or a killed one,
//! does not spend the same hour twice.
//!
//! Shards run side by side, each with credentials of its own, so each keeps its own account.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Shard;
use crate::bitbucket::{BudgetRecord, BudgetStore, Budgets};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Lake, layout};

struct Accounts {
    lake: Lake,
    shard: Option<Shard>,
}

/// Budgets that the lake remembers. The caller holds its lock, and ends with [`Budgets::close`].
pub fn budgets(lake: &Lake, shard: Option<Shard>) -> Budgets {
    let lake = lake.clone();
    Budgets::with_store(Accounts { lake, shard })
}

impl Accounts {
    fn path(&self, identity: &str) -> String {
        let shard = self.shard.map(|shard| (shard.number, shard.of));
        layout::budget_file(identity, shard)
    }
}

impl BudgetStore for Accounts {
    fn read<'a>(&'a self, identity: &'a str) -> BoxFuture<'a, Result<Option<BudgetRecord>>> {
        async move {
            let path = self.path(identity);
            let spent: Option<BudgetRecord> = self.lake.get_json(&path).await?;
            match spent.as_ref().and_then(BudgetRecord::flaw) {
                None => Ok(spent),
                Some(flaw) => Err(Error::new(ErrorKind::Lake, "the file is damaged")
                    .with("file", &path)
                    .source(flaw)
                    .hint(layout::repair_hint(&path))),
            }
        }
        .boxed()
    }

    fn write<'a>(&'a self, identity: &'a str, spent: BudgetRecord) -> BoxFuture<'a, Result<()>> {
        async move { self.lake.put_json(&self.path(identity), &spent).await }.boxed()
    }
}
