//! What of the published files is really there: one listing, compared with the manifest.
//!
//! Files vanish or break without bitlake: a lifecycle rule expires them, a restore is partial, the power fails. Every run
//! compares existence, size, and, where they can be had without reading, the signs of another content:
//!
//! ```text
//! bucket   the ETag is another than the manifest's                   a copied lake has other ETags
//! folder   the file is younger than the manifest, which is put last  a copied lake has other times
//! ```
//!
//! Such a file is read and its digest compared. If it is what was published, that is noted, so that it is read once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::{FileEntry, Lake, Manifest, ObjectVersion, RepositoryState, layout};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{HISTORY, LAYERS};

/// Files whose digests are computed at the same time.
const AT_ONCE: usize = 4;

/// What is wrong with a published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    Missing,
    Empty,
    /// In bytes.
    Size {
        found: u64,
        published: u64,
    },
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

/// How closely files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventoryDepth {
    /// By the listing; files that look changed are read.
    Listing,
    /// Every file is read.
    Content,
}

/// The manifest, and what of it is there.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    pub manifest: Manifest,
    /// By path.
    pub damaged: BTreeMap<String, Damage>,
    /// Files in the folders of its tables that the manifest does not name.
    pub unnamed: BTreeSet<String>,
    /// Files that look changed and are not, under the version that they have now; on local disk versions have no name.
    pub(super) confirmed: BTreeMap<String, ObjectVersion>,
}

enum Look {
    Whole,
    Damaged(Damage),
    /// Its content decides.
    Read,
}

impl Lake {
    /// Compares what is published with what is there.
    ///
    /// While the manifest bears the intent of a run that died, files may be newer than it says, so only those that are
    /// missing or empty count as damaged; the next publish looks at each file.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the lake cannot be listed or read, or has lost its manifest.
    pub async fn inventory(&self, depth: InventoryDepth) -> Result<Inventory> {
        let manifest = self.manifest_unless_lost().await?;
        let named = manifest
            .tables
            .keys()
            .filter_map(|name| name.split('.').next());
        let layers: BTreeSet<&str> = named.chain(LAYERS).chain([HISTORY]).collect();
        let mut listed = BTreeMap::new();
        for layer in layers {
            listed.extend(self.listing(layer).await?);
        }
        self.compare(manifest, listed, depth).await
    }

    /// The manifest; that of a new lake is empty.
    async fn manifest_unless_lost(&self) -> Result<Manifest> {
        let (manifest, version) = self.versioned_manifest().await?;
        if version.is_none() && !self.list(layout::MANIFESTS).await?.is_empty() {
            return Err(Error::new(ErrorKind::Lake, "the manifest is missing")
                .with("file", layout::MANIFEST)
                .hint(layout::repair_hint(layout::MANIFEST)));
        }
        Ok(manifest)
    }

    /// The same for the source layer alone.
    ///
    /// # Errors
    /// As [`Lake::inventory`].
    pub async fn source_inventory(&self) -> Result<Inventory> {
        let mut manifest = self.manifest_unless_lost().await?;
        manifest
            .tables
            .retain(|name, _| name.starts_with("bitbucket."));
        let listed = self.listing("bitbucket").await?;
        self.compare(manifest, listed, InventoryDepth::Listing)
            .await
    }

    /// Looks at the files of these tables (`layer.table`) before they are read: the query engine takes an empty or missing
    /// file for one without rows.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] naming a file that is missing, empty or of another size than was published.
    pub async fn check_tables(&self, tables: impl IntoIterator<Item = String>) -> Result<()> {
        let manifest = self.manifest().await?;
        for name in tables {
            let Some(table) = manifest.table(&name) else {
                continue;
            };
            let listed = self.listing(&name.replace('.', "/")).await?;
            for (path, entry) in &table.files {
                let found = listed.get(path);
                // A run that publishes may be about to put the file, or has just removed it.
                let look = match (&manifest.intent, found) {
                    (Some(_), None) => Look::Whole,
                    (Some(_), found) => look_under_intent(found),
                    (None, found) => look(found, entry, None),
                };
                if let Look::Damaged(damage) = look {
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

    /// Segments that these states name and that are missing or empty.
    ///
    /// # Errors
    /// As [`Lake::inventory`].
    pub async fn damaged_segments(
        &self,
        states: &[RepositoryState],
    ) -> Result<BTreeMap<String, Damage>> {
        let entities = states.iter().flat_map(|state| state.entities.values());
        let named = entities.flat_map(|known| &known.segments);
        let named: BTreeSet<&String> = named.map(|segment| &segment.path).collect();
        if named.is_empty() {
            return Ok(BTreeMap::new());
        }
        let listed = self.listing(layout::SEGMENTS).await?;
        let damage = |path: &String| match listed.get(path) {
            None => Some(Damage::Missing),
            Some(found) => (found.size == 0).then_some(Damage::Empty),
        };
        let damaged = named.into_iter();
        Ok(damaged
            .filter_map(|path| Some((path.clone(), damage(path)?)))
            .collect())
    }

    async fn compare(
        &self,
        manifest: Manifest,
        mut listed: BTreeMap<String, ObjectMeta>,
        depth: InventoryDepth,
    ) -> Result<Inventory> {
        // Buckets name versions.
        let published_on = match self.folder() {
            Some(_) => self.head(layout::MANIFEST).await?,
            None => None,
        };
        let published_on = published_on.map(|manifest| manifest.last_modified);
        let mut inventory = Inventory::default();
        let mut unsure = Vec::new();
        let files = manifest.tables.values().flat_map(|table| &table.files);
        for (path, entry) in files {
            let found = listed.remove(path);
            let look = match manifest.intent {
                Some(_) => look_under_intent(found.as_ref()),
                None => look(found.as_ref(), entry, published_on),
            };
            match look {
                Look::Damaged(damage) => {
                    inventory.damaged.insert(path.clone(), damage);
                }
                Look::Whole if depth == InventoryDepth::Listing || manifest.intent.is_some() => {}
                Look::Whole | Look::Read => unsure.push((path, entry)),
            }
        }
        let mut read = stream::iter(unsure)
            .map(|(path, entry)| async move {
                let version = match depth {
                    InventoryDepth::Listing => self.version_with_content(path, entry).await?,
                    InventoryDepth::Content => self.version_with_digest(path, entry).await?,
                };
                Ok((path, entry, version))
            })
            .buffer_unordered(AT_ONCE);
        while let Some((path, entry, version)) = read.try_next().await? {
            match version {
                None => drop(inventory.damaged.insert(path.clone(), Damage::Content)),
                Some(version) if entry.version().as_ref() != Some(&version) => {
                    inventory.confirmed.insert(path.clone(), version);
                }
                Some(_) => {}
            }
        }
        drop(read);
        let folders: BTreeSet<&str> = manifest
            .paths()
            .flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]))
            .collect();
        let is_ours = |path: &String| {
            let in_table = folders.contains(layout::table_folder(path));
            in_table && !folders.contains(path.as_str()) && !is_hidden(path)
        };
        inventory.unnamed = listed.into_keys().filter(is_ours).collect();
        inventory.manifest = manifest;
        Ok(inventory)
    }
}

fn look(
    found: Option<&ObjectMeta>,
    entry: &FileEntry,
    published_on: Option<DateTime<Utc>>,
) -> Look {
    let Some(found) = found else {
        return Look::Damaged(Damage::Missing);
    };
    if found.size == 0 {
        return Look::Damaged(Damage::Empty);
    }
    if found.size != entry.bytes {
        return Look::Damaged(Damage::Size {
            found: found.size,
            published: entry.bytes,
        });
    }
    let is_other = match (published_on, &found.e_tag, &entry.etag) {
        (Some(published_on), ..) => found.last_modified > published_on,
        (None, Some(found), Some(entry)) => bare(found) != bare(entry),
        // A listing without ETags: the file itself is asked for its own.
        (None, None, Some(_)) => true,
        (None, _, None) => false,
    };
    match is_other {
        true => Look::Read,
        false => Look::Whole,
    }
}

fn look_under_intent(found: Option<&ObjectMeta>) -> Look {
    match found {
        None => Look::Damaged(Damage::Missing),
        Some(found) if found.size == 0 => Look::Damaged(Damage::Empty),
        Some(_) => Look::Whole,
    }
}

/// Listings of some stores have no quotation marks around ETags.
fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}

/// Names that Hive, Spark and their kin pass over.
fn is_hidden(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with(['.', '_'])
}
