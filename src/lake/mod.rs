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
//! state.rs      what is known of each repository: how far each entity is collected
//! manifest.rs   what is published, and was
//! inventory.rs  what of that is really there
//! lease.rs      who may put data files
//! publish.rs    staged files → the lake: intent, puts, removals, manifest
//! gone.rs       what a publish takes away, and when
//! rollback.rs   a former publish, put back
//! clean.rs      what runs leave behind, removed
//! ```

mod clean;
mod conditional_puts;
mod files;
mod inventory;
pub mod layout;
mod lease;
mod location;
mod lock;
mod manifest;
mod objects;
mod parquet;
mod profile;
mod publish;
mod removals;
mod rollback;
mod s3;
mod scan;
mod segments;
mod state;
mod store_errors;

pub use clean::Retention;
pub use inventory::{Damage, Inventory, InventoryDepth};
pub use lease::DEFAULT_LEASE;
pub use location::{LakeLocation, file_url};
pub use lock::LakeLock;
pub use manifest::{FileEntry, Manifest, TableEntry};
pub use objects::{ObjectVersion, is_lost_race};
pub use parquet::{ParquetFile, WrittenFile};
pub use publish::{NextFile, NextTable, PublishSummary, publish};
pub use rollback::rollback;
pub use s3::bucket;
pub use scan::ScanItem;
pub use segments::{SEQUENCE, SegmentWriter, segment_schema};
pub use state::{
    Cursor, ExpectedComments, ListState, ListStatus, NamedCommits, PendingRecord, Replaces,
    RepositoryState, SegmentRef, Visit,
};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use reqwest::Url;

use self::store_errors::cannot;
use crate::error::{Error, ErrorKind, OrError, Result};

/// The version of manifest and state objects that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

const REMOVED_AT_ONCE: usize = 16;

/// An opened lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    location: LakeLocation,
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
            let folder = location::folder(url)?;
            return match folder.join(layout::PRIVATE).is_dir() {
                true => Self::in_folder(&folder),
                false => Err(missing()),
            };
        };
        let private = lake.location.object(layout::PRIVATE)?;
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
        let folder = location::folder(url)?;
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
        let location = location::in_bucket(url, bucket.url)?;
        Ok(Some(Self {
            endpoint: bucket.endpoint,
            ..Self::new(location, bucket.store)
        }))
    }

    fn in_folder(folder: &Path) -> Result<Self> {
        let (location, store) = location::local_store(folder)?;
        Ok(Self::new(location, store))
    }

    /// A lake over a store of the caller's; that of a folder begins at the folder, another at the bucket.
    pub fn new(location: LakeLocation, store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            location,
            endpoint: None,
            lease: DEFAULT_LEASE,
        }
    }

    /// With another life of the right to publish; see [`DEFAULT_LEASE`].
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// The folder of a lake on local disk.
    pub fn folder(&self) -> Option<&Path> {
        match &self.location {
            LakeLocation::Folder(folder) => Some(folder),
            LakeLocation::Bucket { .. } => None,
        }
    }

    /// The lake as people name it.
    pub fn url(&self) -> String {
        self.location.to_string()
    }

    /// Where the query engine finds a file of the lake, once it has [`Lake::engine_store`].
    pub fn file_url(&self, path: &str) -> Result<Url> {
        self.location.file_url(path)
    }

    /// The store that [`Lake::file_url`] names files of, under its address; none for local files.
    pub fn engine_store(&self) -> Option<(&Url, Arc<dyn ObjectStore>)> {
        match &self.location {
            LakeLocation::Folder(_) => None,
            LakeLocation::Bucket { url, .. } => Some((url, Arc::clone(&self.store))),
        }
    }

    /// Removes a file; that it is gone already is no error.
    pub async fn remove(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.location.object(path)?).await {
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
        let objects = self.store.list(Some(&self.location.object(folder)?));
        let found = objects.try_filter_map(|object| async move {
            let path = self.location.path(&object.location);
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
