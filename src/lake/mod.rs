//! The lake: where everything lies, and how it gets there whole.
//!
//! Loaders glob these folders at any moment, so a file appears complete or not at all, has one stable name, and holds
//! its partition alone. What only bitlake reads (state, segments, manifest, reports) lies under `_bitlake/`.
//!
//! ```text
//! layout.rs    every path, in one place
//! place.rs     a folder or a bucket
//! lock.rs      who may write on local disk
//! objects.rs   JSON objects that move from version to version
//! parquet.rs   batches → one deterministic Parquet file, its sha256 and bounds
//! segments.rs  collected pages, private until published
//! state.rs     what is known of each repository: how far each entity is collected
//! manifest.rs  what is published
//! publish.rs   staged files → the lake: intent, puts, removals, manifest
//! ```

pub mod layout;
mod lock;
mod manifest;
mod objects;
mod parquet;
mod place;
mod publish;
mod s3;
mod segments;
mod state;

pub use lock::LakeLock;
pub use manifest::{FileEntry, Manifest, TableEntry};
pub use objects::{Version, is_lost_race};
pub use parquet::{ParquetFile, WrittenFile};
pub use place::{Place, file_url};
pub use publish::{NextFile, NextTable, Published, publish};
pub use s3::bucket;
pub use segments::{SEQUENCE, SegmentWriter, segment_schema};
pub use state::{EntityState, EntityStatus, SegmentRef, State};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use reqwest::Url;
use tokio::io::AsyncWriteExt;

use crate::error::{Error, ErrorKind, OrError, Result};

/// The version of manifest and state objects that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// An opened lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    place: Place,
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
        match Place::find(url, options)? {
            (Place::Folder(folder), _) if !folder.join(layout::PRIVATE).is_dir() => Err(missing()),
            (Place::Folder(folder), _) => Self::in_folder(&folder),
            (place, Some(store)) => {
                let lake = Self::over(place, store);
                let private = lake.place.object(layout::PRIVATE)?;
                let first = lake.store.list(Some(&private)).try_next().await;
                match first.or_error(ErrorKind::Lake, "cannot open the lake") {
                    Ok(Some(_)) => Ok(lake),
                    Ok(None) => Err(missing()),
                    Err(error) => Err(error.with("lake", url)),
                }
            }
            (_, None) => Err(missing()),
        }
    }

    /// Opens or creates a lake, for writing. A bucket is first asked for when it is first used.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the folder cannot be created or written.
    pub fn create(url: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        match Place::find(url, options)? {
            (place, Some(store)) => Ok(Self::over(place, store)),
            (Place::Folder(folder), None) => {
                std::fs::create_dir_all(folder.join(layout::PRIVATE))
                    .or_error(ErrorKind::Lake, "cannot write to the lake")
                    .map_err(|error| {
                        error
                            .with("lake", url)
                            .hint("check the folder and its permissions")
                    })?;
                Self::in_folder(&folder)
            }
            (Place::Bucket { .. }, None) => {
                Err(Error::new(ErrorKind::Internal, "a bucket without a store"))
            }
        }
    }

    fn in_folder(folder: &Path) -> Result<Self> {
        let (place, store) = place::local_store(folder)?;
        Ok(Self::over(place, store))
    }

    /// A lake over a store of the caller's; that of a folder begins at the folder, another at the bucket.
    pub fn over(place: Place, store: Arc<dyn ObjectStore>) -> Self {
        Self { store, place }
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

    /// Puts a local file in one atomic step, in bounded memory.
    pub async fn put_file(&self, local: &Path, path: &str) -> Result<()> {
        let object = self.place.object(path)?;
        let copy = async {
            let mut source = tokio::fs::File::open(local).await?;
            let mut target =
                object_store::buffered::BufWriter::new(Arc::clone(&self.store), object);
            if let Err(error) = tokio::io::copy(&mut source, &mut target).await {
                target.abort().await.ok();
                return Err(error);
            }
            target.shutdown().await
        };
        copy.await
            .or_error(ErrorKind::Lake, "cannot write to the lake")
            .map_err(|error| {
                error
                    .with("file", path)
                    .hint("check permissions and free space, then run again")
            })
    }

    /// Removes a file; that it is gone already is no error.
    pub async fn remove(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.place.object(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(
                Error::new(ErrorKind::Lake, "cannot remove a file from the lake")
                    .with("file", path)
                    .source(error),
            ),
        }
    }

    /// The paths below a folder, sorted.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut paths: Vec<String> = self
            .store
            .list(Some(&self.place.object(folder)?))
            .try_filter_map(|object| async move { Ok(self.place.path(&object.location)) })
            .try_collect()
            .await
            .or_error(ErrorKind::Lake, "cannot list the lake")?;
        paths.sort();
        Ok(paths)
    }
}
