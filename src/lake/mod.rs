//! The lake: where everything lies, and how it gets there whole.
//!
//! Loaders glob these folders at any moment, so a file appears complete or not at all, has one stable name, and holds
//! its partition alone. What only bitlake reads (state, segments, manifest, reports) lies under `_bitlake/`.
//!
//! ```text
//! layout.rs     every path, in one place
//! place.rs      a folder or a bucket                   s3.rs        how a bucket is reached, and profile.rs with whose keys
//! lock.rs       who may write on local disk            faults.rs    what a store's answers mean
//! conditions.rs whether a store keeps the conditions of puts
//! objects.rs    JSON objects that move from version to version
//! files.rs      data files, put over the version expected
//! parquet.rs    batches → one deterministic Parquet file, its sha256 and bounds
//! segments.rs   collected pages, private until published
//! state.rs      the durable progress of each repository; list_state.rs: of each list; pending.rs: records to fetch by id
//! manifest.rs   what is published, and was
//! inventory.rs  what of that is really there
//! lease.rs      who may put data files
//! publish.rs    staged files → the lake: intent, puts, removals, manifest
//! gone.rs       what a publish takes away, and when
//! rollback.rs   a former publish, put back
//! clean.rs      what runs leave behind, removed
//! ```

mod clean;
mod conditions;
mod faults;
mod files;
mod gone;
mod inventory;
pub mod layout;
mod lease;
mod list_state;
mod lock;
mod manifest;
mod objects;
mod parquet;
mod pending;
mod place;
mod profile;
mod publish;
mod rollback;
mod s3;
mod scan;
mod segments;
mod state;

pub use clean::Retention;
pub use inventory::{Damage, Depth, Inventory};
pub use lease::LEASE;
pub use list_state::{Cursor, ListDetail, ListState, ListStatus, Replaces, SegmentRef};
pub use lock::LakeLock;
pub use manifest::{FileEntry, Manifest, TableEntry};
pub use objects::{Version, is_lost_race};
pub use parquet::{ParquetFile, WrittenFile};
pub use pending::{ExpectedComments, NamedCommits, PendingKind, PendingRecord};
pub use place::{Place, file_url};
pub use publish::{NextFile, NextTable, Published, publish};
pub use rollback::rollback;
pub use s3::bucket;
pub use scan::Known;
pub use segments::{SEQUENCE, SegmentWriter, segment_schema};
pub use state::{RepositoryState, Visit};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use reqwest::Url;

use self::faults::cannot;
use crate::error::{Error, ErrorKind, OrError, Result};

/// The version of manifest and state objects that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

const REMOVED_AT_ONCE: usize = 16;

/// An opened lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    place: Place,
    /// Where a bucket is reached, if not at AWS's own address.
    endpoint: Option<String>,
    /// How long a publish may be silent before another run takes over.
    lease: Duration,
}

impl Lake {
    /// Opens a lake that exists, for reading. `url`: a folder or `s3://bucket/prefix`; `options`: those of `[lake]`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when nothing was ever written there.
    pub async fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        let missing = || {
            Error::new(ErrorKind::Configuration, "there is no lake here yet")
                .with("lake", url)
                .hint("run `bitlake run` first, or correct `lake.url`")
        };
        let Some(lake) = Self::in_bucket(url, options)? else {
            let folder = place::folder(url)?;
            return match folder.join(layout::PRIVATE).is_dir() {
                true => Self::in_folder(&folder),
                false => Err(missing()),
            };
        };
        let private = lake.place.object(layout::PRIVATE)?;
        let first = lake.store.list(Some(&private)).try_next().await;
        match first.map_err(|error| cannot("cannot open the lake", url, error))? {
            Some(_) => Ok(lake),
            None => Err(missing()),
        }
    }

    /// Opens or creates a lake, for writing. A bucket is first asked for when it is first used.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the folder cannot be created or written.
    pub fn create(url: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        if let Some(lake) = Self::in_bucket(url, options)? {
            return Ok(lake);
        }
        let folder = place::folder(url)?;
        std::fs::create_dir_all(folder.join(layout::PRIVATE))
            .or_error(ErrorKind::Lake, "cannot write to the lake")
            .map_err(|error| {
                error
                    .with("lake", url)
                    .hint("check the folder and its permissions")
            })?;
        Self::in_folder(&folder)
    }

    fn in_bucket(url: &str, options: &BTreeMap<String, String>) -> Result<Option<Self>> {
        let Some(bucket) = s3::reach(url, options)? else {
            return Ok(None);
        };
        let place = place::in_bucket(url, bucket.url)?;
        Ok(Some(Self {
            endpoint: bucket.endpoint,
            ..Self::over(place, bucket.store)
        }))
    }

    fn in_folder(folder: &Path) -> Result<Self> {
        let (place, store) = place::local_store(folder)?;
        Ok(Self::over(place, store))
    }

    /// A lake over a store of the caller's; that of a folder begins at the folder, another at the bucket.
    pub fn over(place: Place, store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            place,
            endpoint: None,
            lease: LEASE,
        }
    }

    /// With another life of the right to publish; see [`LEASE`].
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// The folder of a lake on local disk.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Bucket { .. } => None,
        }
    }

    /// The lake as people name it.
    pub fn url(&self) -> String {
        self.place.to_string()
    }

    /// Where the query engine finds a file of the lake, once it has [`Lake::engine_store`].
    pub fn file_url(&self, path: &str) -> Result<Url> {
        self.place.file_url(path)
    }

    /// The store that [`Lake::file_url`] names files of, under its address; none for local files.
    pub fn engine_store(&self) -> Option<(&Url, Arc<dyn ObjectStore>)> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Bucket { url, .. } => Some((url, Arc::clone(&self.store))),
        }
    }

    /// Removes a file; that it is gone already is no error.
    pub async fn remove(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.place.object(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(cannot("cannot remove a file from the lake", path, error)),
        }
    }

    /// The paths below a folder, sorted.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        Ok(self.listing(folder).await?.into_keys().collect())
    }

    /// The same, with what the store says of each object.
    async fn listing(&self, folder: &str) -> Result<BTreeMap<String, ObjectMeta>> {
        let objects = self.store.list(Some(&self.place.object(folder)?));
        let found = objects.try_filter_map(|object| async move {
            let path = self.place.path(&object.location);
            Ok(path.map(|path| (path, object)))
        });
        found
            .try_collect()
            .await
            .map_err(|error| cannot("cannot list the lake", folder, error))
    }

    /// Removes files, some at once.
    async fn remove_all(&self, paths: impl IntoIterator<Item = String>) -> Result<()> {
        stream::iter(paths)
            .map(|path| async move { self.remove(&path).await })
            .buffer_unordered(REMOVED_AT_ONCE)
            .try_collect()
            .await
    }
}
