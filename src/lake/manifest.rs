//! The manifest: what is published, and who is publishing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{FORMAT_VERSION, Lake, WrittenFile, layout};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contracts;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format_version: u32,
    /// The version of bitlake that published last: an upgrade may move bytes once.
    pub writer: String,
    /// The run that published last.
    pub run_id: Option<String>,
    pub published_at: Option<DateTime<Utc>>,
    /// Set while a run puts files: with it, files may already be newer than this page says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// By `layer.table`.
    pub tables: BTreeMap<String, TableEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub run_id: String,
    /// One more than any intent before: a later run fences an earlier one.
    pub epoch: u64,
    pub expires_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    pub schema_version: u32,
    pub rows: u64,
    /// By path below the lake.
    pub files: BTreeMap<String, FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
    /// Smallest and largest value of the key columns and the partition's time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bounds: BTreeMap<String, (String, String)>,
}

impl From<&WrittenFile> for FileEntry {
    fn from(written: &WrittenFile) -> Self {
        Self {
            rows: written.rows,
            bytes: written.bytes,
            sha256: written.sha256.clone(),
            bounds: written.bounds.clone(),
        }
    }
}

impl Manifest {
    pub fn table(&self, name: &str) -> Option<&TableEntry> {
        self.tables.get(name)
    }

    /// The paths of a table's files; none for a table that was never published.
    pub fn files<'a>(
        &'a self,
        name: &str,
    ) -> impl Iterator<Item = (&'a String, &'a FileEntry)> + use<'a> {
        self.table(name).into_iter().flat_map(|table| &table.files)
    }
}

impl Lake {
    /// What is published; an empty manifest for a new lake.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] for one that a newer version wrote, as a whole or one of its tables.
    pub async fn manifest(&self) -> Result<Manifest> {
        let manifest: Manifest = self.get_json(layout::MANIFEST).await?.unwrap_or_default();
        if manifest.format_version > FORMAT_VERSION {
            return Err(Error::new(
                ErrorKind::Lake,
                "the lake was written by a newer version of bitlake",
            )
            .with("format_version", manifest.format_version)
            .hint("upgrade bitlake"));
        }
        for contract in Contracts::bundled()?.all() {
            let table = manifest.table(&contract.name());
            if let Some(newer) = table.filter(|table| table.schema_version > contract.version) {
                return Err(Error::new(
                    ErrorKind::Lake,
                    "the table was written by a newer version of bitlake",
                )
                .with("table", contract.name())
                .with("schema_version", newer.schema_version)
                .hint("upgrade bitlake"));
            }
        }
        Ok(manifest)
    }
}
