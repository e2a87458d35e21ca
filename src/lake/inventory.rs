//! Compare the published files with the files that exist.
//!
//! Files may vanish or change without bitlake: a lifecycle rule expires them, a restore is incomplete, the power fails.
//! Every run lists the lake and compares existence, size, and signs of a changed content:
//!
//! ```text
//! bucket   the ETag differs from the manifest's                              also after the lake was copied
//! folder   the file is newer than the manifest, which a publish puts last    also after the lake was copied
//! ```
//!
//! A file with such a sign is read, and its digest compared. If the content is the published one, the next publish records
//! the file's version, so that it is read only once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::layout;
use super::manifest::{FileEntry, Manifest};
use super::store::Lake;
use super::version::ObjectVersion;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{HISTORY, LAYERS, SourceTable};

/// Files whose digests are computed concurrently.
const CONCURRENT_READS: usize = 4;

/// How a published file differs from its entry in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The file does not exist.
    Missing,
    /// The file has no bytes.
    Empty,
    /// The file has another size; both in bytes.
    Size {
        /// The size of the file.
        found: u64,
        /// The size in the manifest.
        published: u64,
    },
    /// The file has another digest.
    Content,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Empty => f.write_str("is empty"),
            Self::Size { found, published } => {
                write!(f, "has {found} bytes in the place of {published}")
            }
            Self::Content => f.write_str("holds other bytes than were published"),
        }
    }
}

/// How closely [`Lake::inventory`] compares files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventoryDepth {
    /// List the files, and read those with a sign of a changed content.
    Listing,
    /// Read every file.
    Content,
}

/// The manifest, and how the existing files differ from it.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The manifest.
    pub manifest: Manifest,
    /// The damaged files, by path.
    pub damaged: BTreeMap<String, Damage>,
    /// Files in the tables' folders that the manifest does not name.
    pub unnamed: BTreeSet<String>,
    /// Files whose content is the published one although their version is not, with their current version. On local disk
    /// versions are not recorded.
    pub(super) confirmed: BTreeMap<String, ObjectVersion>,
}

/// The result of comparing a file's metadata with its entry.
enum MetadataCheck {
    Unchanged,
    Damaged(Damage),
    /// The content must be read.
    Uncertain,
}

impl Lake {
    /// Compare the published files with the files that exist.
    ///
    /// While the manifest has the intent of a killed run, files may be newer than their entries. Then only missing and
    /// empty files count as damaged; the next publish compares each file.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the lake cannot be listed or read, or when its manifest is missing.
    pub async fn inventory(&self, depth: InventoryDepth) -> Result<Inventory> {
        let manifest = self.existing_manifest().await?;
        let published = manifest
            .tables
            .keys()
            .filter_map(|name| name.split('.').next());
        let layers: BTreeSet<&str> = published.chain(LAYERS).chain([HISTORY]).collect();
        let mut listed = BTreeMap::new();
        for layer in layers {
            listed.extend(self.list_objects(layer).await?);
        }
        self.compare(manifest, listed, depth).await
    }

    /// As [`Lake::inventory`], for the source layer alone.
    ///
    /// # Errors
    /// As [`Lake::inventory`].
    pub async fn source_inventory(&self) -> Result<Inventory> {
        let mut manifest = self.existing_manifest().await?;
        manifest
            .tables
            .retain(|name, _| SourceTable::is_in_layer(name));
        let listed = self.list_objects(SourceTable::LAYER).await?;
        self.compare(manifest, listed, InventoryDepth::Listing)
            .await
    }

    /// Read the manifest. Fail if it is missing although there were publishes.
    async fn existing_manifest(&self) -> Result<Manifest> {
        let (manifest, version) = self.versioned_manifest().await?;
        if version.is_none() && !self.list(layout::MANIFESTS).await?.is_empty() {
            return Err(Error::new(ErrorKind::Lake, "the manifest is missing")
                .with("file", layout::MANIFEST)
                .hint(layout::repair_hint(layout::MANIFEST)));
        }
        Ok(manifest)
    }

    /// Check the files of these tables (`layer.table`) before they are read, because the query engine reads an empty or
    /// missing file as one without rows.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] naming a file that is missing, empty or of another size than was published.
    pub async fn check_tables(&self, tables: impl IntoIterator<Item = String>) -> Result<()> {
        let manifest = self.manifest().await?;
        for name in tables {
            let Some(table) = manifest.table(&name) else {
                continue;
            };
            let listed = self.list_objects(&name.replace('.', "/")).await?;
            for (path, entry) in &table.files {
                let found = listed.get(path);
                // A publish in progress may have removed the file, or may not have put it yet.
                let check = match (&manifest.intent, found) {
                    (Some(_), None) => MetadataCheck::Unchanged,
                    (Some(_), found) => check_during_publish(found),
                    (None, found) => check_metadata(found, entry, None),
                };
                if let MetadataCheck::Damaged(damage) = check {
                    return Err(
                        Error::new(ErrorKind::Lake, format!("a published file {damage}"))
                            .with("table", name)
                            .with("file", path)
                            .hint("run `bitlake run`, which makes or collects it again"),
                    );
                }
            }
        }
        Ok(())
    }

    async fn compare(
        &self,
        manifest: Manifest,
        mut listed: BTreeMap<String, ObjectMeta>,
        depth: InventoryDepth,
    ) -> Result<Inventory> {
        // In a bucket ETags are compared, not times.
        let published_at = match self.folder() {
            Some(_) => self.head(layout::MANIFEST).await?,
            None => None,
        };
        let published_at = published_at.map(|manifest| manifest.last_modified);
        let mut inventory = Inventory::default();
        let mut uncertain = Vec::new();
        let files = manifest.tables.values().flat_map(|table| &table.files);
        for (path, entry) in files {
            let found = listed.remove(path);
            let check = match manifest.intent {
                Some(_) => check_during_publish(found.as_ref()),
                None => check_metadata(found.as_ref(), entry, published_at),
            };
            match check {
                MetadataCheck::Damaged(damage) => {
                    inventory.damaged.insert(path.clone(), damage);
                }
                MetadataCheck::Unchanged
                    if depth == InventoryDepth::Listing || manifest.intent.is_some() => {}
                MetadataCheck::Unchanged | MetadataCheck::Uncertain => {
                    uncertain.push((path, entry));
                }
            }
        }
        self.compare_contents(uncertain, depth, &mut inventory)
            .await?;
        inventory.unnamed = unnamed_files(&manifest, listed.into_keys());
        inventory.manifest = manifest;
        Ok(inventory)
    }

    /// Read `files`, and add those that are damaged or confirmed to `inventory`.
    async fn compare_contents(
        &self,
        files: Vec<(&String, &FileEntry)>,
        depth: InventoryDepth,
        inventory: &mut Inventory,
    ) -> Result<()> {
        let mut read = stream::iter(files)
            .map(|(path, entry)| async move {
                let version = match depth {
                    InventoryDepth::Listing => self.version_with_content(path, entry).await?,
                    InventoryDepth::Content => self.version_with_digest(path, entry).await?,
                };
                Ok::<_, Error>((path, entry, version))
            })
            .buffer_unordered(CONCURRENT_READS);
        while let Some((path, entry, version)) = read.try_next().await? {
            match version {
                None => {
                    inventory.damaged.insert(path.clone(), Damage::Content);
                }
                Some(version) if entry.version().as_ref() != Some(&version) => {
                    inventory.confirmed.insert(path.clone(), version);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// Select the files in the folders of published tables. Markers of folders, which some stores list, and names that start
/// with `.` or `_`, which Hive, Spark and similar readers skip, do not count.
fn unnamed_files(manifest: &Manifest, paths: impl Iterator<Item = String>) -> BTreeSet<String> {
    let folders: BTreeSet<&str> = manifest
        .paths()
        .flat_map(|path| path.match_indices('/').map(|(at, _)| path.get(..at)))
        .flatten()
        .collect();
    let is_unnamed = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        folders.contains(layout::table_folder(path))
            && !folders.contains(path.as_str())
            && !name.starts_with(['.', '_'])
    };
    paths.filter(is_unnamed).collect()
}

fn check_metadata(
    found: Option<&ObjectMeta>,
    entry: &FileEntry,
    published_at: Option<DateTime<Utc>>,
) -> MetadataCheck {
    let Some(found) = found else {
        return MetadataCheck::Damaged(Damage::Missing);
    };
    if found.size == 0 {
        return MetadataCheck::Damaged(Damage::Empty);
    }
    if found.size != entry.bytes {
        return MetadataCheck::Damaged(Damage::Size {
            found: found.size,
            published: entry.bytes,
        });
    }
    let is_suspect = match (published_at, &found.e_tag, &entry.etag) {
        (Some(published_at), ..) => found.last_modified > published_at,
        (None, Some(found), Some(entry)) => without_quotes(found) != without_quotes(entry),
        // The listing has no ETags: the file's own must be requested.
        (None, None, Some(_)) => true,
        (None, _, None) => false,
    };
    if is_suspect {
        MetadataCheck::Uncertain
    } else {
        MetadataCheck::Unchanged
    }
}

fn check_during_publish(found: Option<&ObjectMeta>) -> MetadataCheck {
    match found {
        None => MetadataCheck::Damaged(Damage::Missing),
        Some(found) if found.size == 0 => MetadataCheck::Damaged(Damage::Empty),
        Some(_) => MetadataCheck::Unchanged,
    }
}

/// Some stores list ETags without quotation marks.
fn without_quotes(etag: &str) -> &str {
    etag.trim_matches('"')
}
