//! The manifest: the published files, and the publish in progress.
//!
//! Without an `intent` every file is the one that its entry describes. With an intent a file may be newer than its entry;
//! [`Lake::has_content`] compares its ETag or SHA-256 with the entry. A reader of several files compares the manifest's
//! `epoch` before and after reading: every publish increments it.
//!
//! The manifest of each publish is kept, for `ddl --changed-since` and `rollback`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::UpdateVersion;
use serde::{Deserialize, Serialize};

use super::layout::{self, FORMAT_VERSION, is_below};
use super::parquet::WrittenFile;
use super::store::Lake;
use super::version::ObjectVersion;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contracts;

/// The published files of the lake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the manifest's format; see [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The version of bitlake that published last. An upgrade may change the bytes of files once.
    pub writer: String,
    /// The run that published last.
    pub run_id: Option<String>,
    /// The time of the last publish.
    pub published_at: Option<DateTime<Utc>>,
    /// Incremented by every publish.
    #[serde(default)]
    pub epoch: u64,
    /// Set while a run puts files: files may be newer than their entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The published tables, by `layer.table`.
    pub tables: BTreeMap<String, TableEntry>,
}

/// The announcement of a publish in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The run that publishes.
    pub run_id: String,
    /// One more than the epoch of every former publish.
    pub epoch: u64,
    /// The time after which another run may take over.
    pub expires_at: DateTime<Utc>,
}

/// A published table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// The version of the table's contract.
    pub schema_version: u32,
    /// The rows of all files.
    pub rows: u64,
    /// What the rows were made from: a digest of each input by table, and one of the table's own step. A step whose
    /// digests are these again would make the same rows. Empty for a table that no step makes, and where the digests are
    /// unknown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub made_from: BTreeMap<String, String>,
    /// The files, by path below the lake.
    pub files: BTreeMap<String, FileEntry>,
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The rows of the file.
    pub rows: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The SHA-256 of the file's content, in hexadecimal.
    pub sha256: String,
    /// The smallest and largest value of the key columns and the partition's column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bounds: BTreeMap<String, (String, String)>,
    /// The ETag of the file; none on local disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The version id of the file, in a bucket with versioning. On Google Cloud Storage the generation, which conditions
    /// compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The ETag of the file that this one replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_etag: Option<String>,
    /// The version id of the file that this one replaced.
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
    /// Check a manifest that was read from the object `read_from`.
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

    /// Refuse a manifest with a file outside its table's folder, because a publish replaces and removes these files.
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

    /// Return the table `name` (`layer.table`), if it is published.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableEntry> {
        self.tables.get(name)
    }

    /// Return the paths of all files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &String> {
        self.tables.values().flat_map(|table| table.files.keys())
    }

    /// Return the files of a table; none for a table that is not published.
    pub fn files<'a>(
        &'a self,
        name: &str,
    ) -> impl Iterator<Item = (&'a String, &'a FileEntry)> + use<'a> {
        self.table(name).into_iter().flat_map(|table| &table.files)
    }
}

impl FileEntry {
    /// Return the recorded version of the file; `None` on local disk.
    pub(super) fn version(&self) -> Option<ObjectVersion> {
        let e_tag = Some(self.etag.clone()?);
        let version = self.version.clone();
        Some(ObjectVersion(UpdateVersion { e_tag, version }))
    }

    /// Record the version of the file, and the version that it replaced.
    pub(super) fn set_version(&mut self, version: ObjectVersion, former: Option<ObjectVersion>) {
        (self.etag, self.version) = (version.0.e_tag, version.0.version);
        let former = former.map(|ObjectVersion(former)| (former.e_tag, former.version));
        (self.former_etag, self.former_version) = former.unwrap_or_default();
    }
}

/// Manifests of former publishes that are kept.
const KEPT_MANIFESTS: usize = 100;

impl Lake {
    /// Read the manifest; that of a new lake is empty.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the manifest cannot be read, is damaged, or it or one of its tables was written by a newer
    /// version of bitlake.
    pub async fn manifest(&self) -> Result<Manifest> {
        Ok(self.versioned_manifest().await?.0)
    }

    pub(super) async fn versioned_manifest(&self) -> Result<(Manifest, Option<ObjectVersion>)> {
        let found = self.get_versioned::<Manifest>(layout::MANIFEST).await?;
        let (manifest, version) = found.unzip();
        let manifest = manifest.unwrap_or_default();
        Ok((manifest.checked(layout::MANIFEST)?, version))
    }

    /// Read the manifest as it was after a run: that of the run's own publish, or of the last publish before it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when there is no such run; [`ErrorKind::Lake`] when its manifest is no longer kept.
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
            .hint(format!(
                "the last {KEPT_MANIFESTS} publishes are: name a later run"
            ))
        };
        let read_from = before.as_deref().unwrap_or(&wanted);
        manifest.ok_or_else(too_old)?.checked(read_from)
    }

    /// Remove the oldest kept manifests.
    pub(super) async fn remove_old_manifests(&self) -> Result<()> {
        let kept = self.list(layout::MANIFESTS).await?;
        self.remove_all(kept.into_iter().rev().skip(KEPT_MANIFESTS))
            .await
    }
}
