//! The lake: where everything lies, and how it gets there whole.
//!
//! Loaders glob these folders at any moment, so a file appears complete or not at all, has one stable name, and holds
//! its partition alone. What only bitlake reads (state, segments, manifest, reports) lies under `_bitlake/`.
//!
//! ```text
//! layout.rs    every path, in one place
//! parquet.rs   batches → one deterministic Parquet file, its sha256 and bounds
//! segments.rs  collected pages, private until published
//! state.rs     what is known of each repository: how far each entity is collected
//! manifest.rs  what is published
//! publish.rs   staged files → the lake: intent, puts, removals, manifest
//! ```

pub mod layout;
mod manifest;
mod parquet;
mod publish;
mod s3;
mod segments;
mod state;

pub use manifest::{FileEntry, Manifest, TableEntry};
pub use parquet::{ParquetFile, WrittenFile};
pub use publish::{NextFile, NextTable, Published, publish};
pub use s3::bucket;
pub use segments::{SEQUENCE, SegmentWriter, segment_schema};
pub use state::{EntityState, EntityStatus, Queued, Replaces, SegmentRef, State, Walk};

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;

use crate::error::{Error, ErrorKind, OrError, Result};

/// The version of manifest and state objects that this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// An opened lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    root: PathBuf,
}

/// Held while a run writes; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct LakeLock {
    _file: File,
}

impl Lake {
    /// Opens a lake that exists, for reading.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when nothing was ever written there.
    pub fn open(url: &str) -> Result<Self> {
        let root = local_root(url)?;
        if !root.join(layout::PRIVATE).is_dir() {
            return Err(
                Error::new(ErrorKind::Configuration, "there is no lake here yet")
                    .with("lake", url)
                    .hint("run `bitlake run` first, or correct `lake.url`"),
            );
        }
        Self::at(root)
    }

    /// Opens or creates a lake, for writing.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the folder cannot be created or written.
    pub fn create(url: &str) -> Result<Self> {
        let root = local_root(url)?;
        let private = root.join(layout::PRIVATE);
        std::fs::create_dir_all(&private)
            .or_error(ErrorKind::Lake, "cannot write to the lake")
            .map_err(|error| {
                error
                    .with("lake", url)
                    .hint("check the folder and its permissions")
            })?;
        Self::at(root)
    }

    fn at(root: PathBuf) -> Result<Self> {
        let root = root
            .canonicalize()
            .or_error(ErrorKind::Lake, "cannot open the lake")
            .map_err(|error| error.with("lake", root.display()))?;
        let store = LocalFileSystem::new_with_prefix(&root)
            .or_error(ErrorKind::Lake, "cannot open the lake")?
            .with_automatic_cleanup(true);
        Ok(Self {
            store: Arc::new(store),
            root,
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes the lake for writing.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when another process holds it: nothing was touched.
    pub fn lock(&self) -> Result<LakeLock> {
        let path = self.root.join(layout::LOCK);
        let failed = |source: std::io::Error| {
            Error::new(ErrorKind::Lake, "cannot lock the lake")
                .with("file", path.display())
                .source(source)
                .hint("check the folder's permissions")
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(LakeLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Lake,
                "another run is writing this lake",
            )
            .with("lake", self.root.display())
            .hint("wait for it to end; nothing was changed")),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Where the query engine finds a file of the lake.
    pub fn file_url(&self, path: &str) -> Result<Url> {
        file_url(&self.root.join(path))
    }

    /// The JSON object at `path`, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when it cannot be read or is damaged.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let failed = |error: Error| error.with("file", path);
        let bytes = match self.store.get(&ObjectPath::from(path)).await {
            Ok(object) => object.bytes().await,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => Err(error),
        };
        let bytes = bytes
            .or_error(ErrorKind::Lake, "cannot read from the lake")
            .map_err(failed)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .or_error(
                ErrorKind::Lake,
                "the file is damaged or was written by a newer version",
            )
            .map_err(failed)
    }

    /// Puts `value` as JSON in one atomic step.
    pub async fn put_json<T: Serialize>(&self, path: &str, value: &T) -> Result<()> {
        let mut text =
            serde_json::to_vec_pretty(value).or_error(ErrorKind::Internal, "cannot write JSON")?;
        text.push(b'\n');
        self.store
            .put(&ObjectPath::from(path), PutPayload::from(text))
            .await
            .or_error(ErrorKind::Lake, "cannot write to the lake")
            .map_err(|error| error.with("file", path))?;
        Ok(())
    }

    /// Puts a local file in one atomic step, in bounded memory.
    pub async fn put_file(&self, local: &Path, path: &str) -> Result<()> {
        let copy = async {
            let mut source = tokio::fs::File::open(local).await?;
            let mut target = object_store::buffered::BufWriter::new(
                Arc::clone(&self.store),
                ObjectPath::from(path),
            );
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
        match self.store.delete(&ObjectPath::from(path)).await {
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
        use futures::TryStreamExt;
        let mut paths: Vec<String> = self
            .store
            .list(Some(&ObjectPath::from(folder)))
            .map_ok(|object| object.location.to_string())
            .try_collect()
            .await
            .or_error(ErrorKind::Lake, "cannot list the lake")?;
        paths.sort();
        Ok(paths)
    }
}

/// A local file as the engine names it.
pub fn file_url(path: &Path) -> Result<Url> {
    Url::from_file_path(path).map_err(|()| {
        Error::new(ErrorKind::Lake, "not an absolute path").with("file", path.display())
    })
}

fn local_root(url: &str) -> Result<PathBuf> {
    match url.split_once("://") {
        None if url.is_empty() => {
            Err(Error::new(ErrorKind::Configuration, "`lake.url` is empty").hint("name a folder"))
        }
        None => Ok(PathBuf::from(url)),
        Some(("file", _)) => Url::parse(url)
            .ok()
            .and_then(|parsed| parsed.to_file_path().ok())
            .ok_or_else(|| {
                Error::new(ErrorKind::Configuration, "not a file URL").with("lake", url)
            }),
        Some(_) => Err(Error::new(
            ErrorKind::Configuration,
            "this version writes to local folders only",
        )
        .with("lake", url)
        .hint("name a folder in `lake.url`")),
    }
}
