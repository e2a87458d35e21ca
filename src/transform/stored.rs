//! The base tables that the lake keeps from one run to the next, because the steps that read them look across all
//! repositories.
//!
//! They are not published: `_bitlake/base` has their files, and `_bitlake/base.json` says what they were made from. A file
//! is named for its content, so that it is never replaced under a reader or by a run that dies.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::lake::{FileEntry, Lake, NextFile, NextTable, TableEntry, layout};

/// The stored base tables of the last transform, by `base.table`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredTables(BTreeMap<String, TableEntry>);

impl StoredTables {
    /// Read the tables from the lake. One that cannot be read, or that lacks a file, does not count, because it can be made
    /// again.
    pub(super) async fn read(lake: &Lake) -> Self {
        match Self::read_existing(lake).await {
            Ok(tables) => tables,
            Err(error) => {
                tracing::debug!("cannot read the stored base tables: {error}");
                Self::default()
            }
        }
    }

    async fn read_existing(lake: &Lake) -> Result<Self> {
        let known: Option<Self> = lake.get_json(layout::BASES).await?;
        let mut complete = Self::default();
        for (name, table) in known.unwrap_or_default().0 {
            let mut has_all = true;
            for (path, entry) in &table.files {
                has_all &= lake.has_file(path, entry.bytes).await?;
            }
            if has_all {
                complete.0.insert(name, table);
            }
        }
        Ok(complete)
    }

    pub(super) fn get(&self, name: &str) -> Option<&TableEntry> {
        self.0.get(name)
    }

    /// Put the tables of this run into the lake. A failure is logged only, because every table can be made again.
    pub(super) async fn put(self, lake: &Lake, tables: BTreeMap<String, NextTable>) {
        if let Err(error) = self.put_changed(lake, tables).await {
            tracing::info!("cannot keep base tables: {error}");
        }
    }

    async fn put_changed(&self, lake: &Lake, tables: BTreeMap<String, NextTable>) -> Result<()> {
        let mut next = self.clone();
        for (name, table) in tables {
            let mut entry = TableEntry {
                schema_version: table.schema_version,
                made_from: table.made_from,
                ..TableEntry::default()
            };
            for (path, file) in table.files {
                let known = self.0.get(&name).and_then(|known| known.files.get(&path));
                let file = match (file, known) {
                    (NextFile::Kept, Some(known)) => known.clone(),
                    (NextFile::Kept, None) => continue,
                    (NextFile::Staged(written), _) => {
                        lake.put_file(&written.path, &path).await?;
                        FileEntry::from(&written)
                    }
                };
                entry.rows = entry.rows.saturating_add(file.rows);
                entry.files.insert(path, file);
            }
            next.0.insert(name, entry);
        }
        if next == *self {
            return Ok(());
        }
        lake.put_json(layout::BASES, &next).await?;
        let named: BTreeSet<&String> = next.0.values().flat_map(|it| it.files.keys()).collect();
        for path in lake.list(layout::BASE).await? {
            if !named.contains(&path) {
                lake.remove(&path).await?;
            }
        }
        Ok(())
    }
}
