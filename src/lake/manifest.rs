//! The manifest: what is published, and who is publishing.
//!
//! A reader of it can tell whether what he reads is what it describes: without `intent` every file is, and while there
//! is one a file is if its ETag is the entry's (or the SHA-256 of its bytes); [`Lake::holds`] asks that. One who reads
//! many files compares the manifest's `epoch` before and after: every publish has its own.
//!
//! A copy of each publish's manifest is kept, so that a later run can tell what changed since, and `rollback` what was.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::UpdateVersion;
use serde::{Deserialize, Serialize};

use super::layout::is_below;
use super::{FORMAT_VERSION, Lake, ObjectVersion, WrittenFile, layout};
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
    /// Grows with every intent.
    #[serde(default)]
    pub epoch: u64,
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
    /// What the store calls this content, where it says so; the local disk does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The object's version, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The same of the file that this one replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_version: Option<String>,
}

impl From<&WrittenFile> for FileEntry {
    fn from(written: &WrittenFile) -> Self {
        Self {
            rows: written.rows,
            bytes: written.bytes,
            sha256: written.sha256.clone(),
            bounds: written.bounds.clone(),
            etag: None,
            version: None,
            former_etag: None,
            former_version: None,
        }
    }
}

impl Manifest {
    /// `read_from`: the object that it was read from.
    fn checked(self, read_from: &str) -> Result<Self> {
        if self.format_version > FORMAT_VERSION {
            return Err(Error::new(
                ErrorKind::Lake,
                "the lake was written by a newer version of bitlake",
            )
            .with("format_version", self.format_version)
            .hint("upgrade bitlake"));
        }
        self.check_paths(read_from)?;
        for contract in Contracts::bundled()?.all() {
            let table = self.table(&contract.name());
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
        Ok(self)
    }

    /// A file of a table lies in the table's folder: nothing else is read, replaced or removed for it.
    fn check_paths(&self, read_from: &str) -> Result<()> {
        for (name, table) in &self.tables {
            let (layer, table_name) = name.split_once('.').unwrap_or_default();
            let folder = format!("{layer}/{table_name}/");
            let is_own = |path: &&String| layer != layout::PRIVATE && is_below(path, &folder);
            if let Some(path) = table.files.keys().find(|path| !is_own(path)) {
                return Err(Error::new(
                    ErrorKind::Lake,
                    "the manifest names a file outside its table's folder",
                )
                .with("file", read_from)
                .with("table", name)
                .with("path", path)
                .hint(layout::repair_hint(read_from)));
            }
        }
        Ok(())
    }

    pub fn table(&self, name: &str) -> Option<&TableEntry> {
        self.tables.get(name)
    }

    /// The paths of all files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &String> {
        self.tables.values().flat_map(|table| table.files.keys())
    }

    /// The paths of a table's files; none for a table that was never published.
    pub fn files<'a>(
        &'a self,
        name: &str,
    ) -> impl Iterator<Item = (&'a String, &'a FileEntry)> + use<'a> {
        self.table(name).into_iter().flat_map(|table| &table.files)
    }
}

impl FileEntry {
    /// The version that it was put as, where the store says so.
    pub(super) fn version(&self) -> Option<ObjectVersion> {
        let e_tag = Some(self.etag.clone()?);
        let version = self.version.clone();
        Some(ObjectVersion(UpdateVersion { e_tag, version }))
    }

    /// Notes the version that the file was put as, and the one that it replaced.
    pub(super) fn put_as(&mut self, version: ObjectVersion, former: Option<ObjectVersion>) {
        (self.etag, self.version) = (version.0.e_tag, version.0.version);
        let former = former.map(|ObjectVersion(former)| (former.e_tag, former.version));
        (self.former_etag, self.former_version) = former.unwrap_or_default();
    }
}

/// So many kept manifests stay.
const KEPT: usize = 100;

impl Lake {
    /// What is published; an empty manifest for a new lake.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] for one that is damaged, or that a newer version wrote, as a whole or one of its tables.
    pub async fn manifest(&self) -> Result<Manifest> {
        Ok(self.versioned_manifest().await?.0)
    }

    pub(super) async fn versioned_manifest(&self) -> Result<(Manifest, Option<ObjectVersion>)> {
        let found = self.get_versioned::<Manifest>(layout::MANIFEST).await?;
        let (manifest, version) = found.unzip();
        let manifest = manifest.unwrap_or_default();
        Ok((manifest.checked(layout::MANIFEST)?, version))
    }

    /// What was published when a run had ended: by that run, or by the last one before it that published anything.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a run that there never was; [`ErrorKind::Lake`] for one that is too long ago.
    pub async fn former_manifest(&self, run_id: &str) -> Result<Manifest> {
        let wanted = layout::manifest_file(run_id);
        if let Some(manifest) = self.get_json::<Manifest>(&wanted).await? {
            return manifest.checked(&wanted);
        }
        let report = layout::run_file(run_id);
        if self.current_version(&report).await?.is_none() {
            return Err(Error::new(ErrorKind::Usage, "there is no such run")
                .with("run", run_id)
                .hint("`bitlake status` lists the last ones"));
        }
        // Run ids sort by time.
        let kept = self.list(layout::MANIFESTS).await?;
        let before = kept.into_iter().rfind(|path| *path < wanted);
        let manifest = match &before {
            Some(path) => self.get_json::<Manifest>(path).await?,
            None => None,
        };
        let too_old = || {
            Error::new(
                ErrorKind::Lake,
                "what was published then is not kept any more",
            )
            .with("run", run_id)
            .hint(format!("the last {KEPT} publishes are: name a later run"))
        };
        let read_from = before.as_deref().unwrap_or(&wanted);
        manifest.ok_or_else(too_old)?.checked(read_from)
    }

    /// Removes the oldest kept manifests.
    pub(super) async fn forget_manifests(&self) -> Result<()> {
        let kept = self.list(layout::MANIFESTS).await?;
        self.remove_all(kept.into_iter().rev().skip(KEPT)).await
    }
}
