//! An opened lake: a store and the location of the lake in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use super::bucket::{self, engine_url};
use super::layout;
use super::location::{self, LakeLocation};
use super::store_errors::store_error;
use super::version::ObjectVersion;
use crate::config::AddressUse;
use crate::error::{Error, ErrorKind, OrError, Result};

/// The time without renewal after which another run may take over a publish: long enough for a slow store, short enough
/// that the run after a killed one does not wait long.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(600);

/// Files removed concurrently.
const CONCURRENT_REMOVALS: usize = 16;

pub(super) const CANNOT_READ: &str = "cannot read from the lake";

/// An opened lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) location: LakeLocation,
    /// The address of the bucket for the query engine.
    engine_url: Option<Url>,
    /// The address of the service, where the lake's URL does not determine it.
    pub(super) endpoint: Option<String>,
    pub(super) lease: Duration,
}

/// Whether a folder is a lake.
pub fn is_lake(folder: &Path) -> bool {
    folder.join(layout::PRIVATE).is_dir()
}

impl Lake {
    /// Open an existing lake for reading. `url`: a folder or the address of a bucket; `options`: the store options of
    /// `[lake]`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when there is no lake at `url`; [`ErrorKind::Lake`] when the store does not answer.
    pub async fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        let missing = || {
            Error::new(ErrorKind::Configuration, "there is no lake here yet")
                .with("lake", url)
                .hint("run `bitlake run` first, or correct `lake.url`")
        };
        let Some(lake) = Self::in_bucket(url, options)? else {
            let folder = location::parse_folder(url)?;
            if !is_lake(&folder) {
                return Err(missing());
            }
            return Self::in_folder(&folder);
        };
        let private = lake.location.object(layout::PRIVATE)?;
        let first = lake.store.list(Some(&private)).try_next().await;
        match first.map_err(|error| store_error("cannot open the lake", url, error))? {
            Some(_) => Ok(lake),
            None => Err(missing()),
        }
    }

    /// Open a lake for writing, and create its folder if there is none. No request is sent to a bucket yet.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the folder cannot be created or written; [`ErrorKind::Configuration`] for an address or a
    /// store option that is not understood.
    pub fn create(url: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        if let Some(lake) = Self::in_bucket(url, options)? {
            return Ok(lake);
        }
        let folder = location::parse_folder(url)?;
        std::fs::create_dir_all(folder.join(layout::PRIVATE))
            .or_error(ErrorKind::Lake, "cannot write to the lake")
            .map_err(|error| {
                error
                    .with("lake", url)
                    .hint("check the folder and its permissions")
            })?;
        Self::in_folder(&folder)
    }

    /// Return the store of a lake in a bucket and its URL, for a query engine; `None` on local disk. No request is sent.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for an address or a store option that is not understood.
    pub fn store_of(
        url: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Option<(Url, Arc<dyn ObjectStore>)>> {
        let lake = Self::in_bucket(url, options)?;
        let store = lake.as_ref().and_then(Self::engine_store);
        Ok(store.map(|(url, store)| (url.clone(), store)))
    }

    fn in_bucket(url: &str, options: &BTreeMap<String, String>) -> Result<Option<Self>> {
        bucket::refuse_secrets(url, AddressUse::Lake)?;
        let Some(bucket) = bucket::connect(url, options)? else {
            return Ok(None);
        };
        let location = location::parse_bucket(url, bucket.url)?;
        Ok(Some(Self {
            endpoint: bucket.endpoint,
            ..Self::new(location, bucket.store)
        }))
    }

    fn in_folder(folder: &Path) -> Result<Self> {
        let (location, store) = location::open_folder(folder)?;
        Ok(Self::new(location, store))
    }

    /// A lake in a given store: a store rooted at the folder, or at the bucket.
    pub fn new(location: LakeLocation, store: Arc<dyn ObjectStore>) -> Self {
        let engine_url = match &location {
            LakeLocation::Folder(_) => None,
            LakeLocation::Bucket { url, .. } => Some(engine_url(url)),
        };
        Self {
            store,
            location,
            engine_url,
            endpoint: None,
            lease: DEFAULT_LEASE,
        }
    }

    /// Set the duration of a lease; see [`DEFAULT_LEASE`].
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// The folder of a lake on local disk; `None` in a bucket.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.location {
            LakeLocation::Folder(folder) => Some(folder),
            LakeLocation::Bucket { .. } => None,
        }
    }

    /// Whether the store can compare a recorded version for the condition of a put.
    pub(super) fn compares(&self, recorded: &ObjectVersion) -> bool {
        recorded.is_comparable(self.location.compares())
    }

    /// The address of the lake, as the configuration spells it.
    #[must_use]
    pub fn url(&self) -> String {
        self.location.to_string()
    }

    /// Return the URL at which the query engine reads a file of the lake, once [`Lake::engine_store`] is registered.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] for a path that is not one of the lake's.
    pub fn file_url(&self, path: &str) -> Result<Url> {
        self.location.file_url(path)
    }

    /// The store to register with the query engine, and its URL; `None` on local disk.
    #[must_use]
    pub fn engine_store(&self) -> Option<(&Url, Arc<dyn ObjectStore>)> {
        let url = self.engine_url.as_ref()?;
        Some((url, Arc::clone(&self.store)))
    }

    /// Remove a file; a missing file is not an error.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the store refuses.
    pub async fn remove(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.location.object(path)?).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(store_error(
                "cannot remove a file from the lake",
                path,
                error,
            )),
        }
    }

    /// Remove files, several at once.
    pub(super) async fn remove_all(&self, paths: impl IntoIterator<Item = String>) -> Result<()> {
        stream::iter(paths)
            .map(|path| async move { self.remove(&path).await })
            .buffer_unordered(CONCURRENT_REMOVALS)
            .try_collect()
            .await
    }

    /// List the paths below a folder, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the store cannot be listed.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        Ok(self.list_objects(folder).await?.into_keys().collect())
    }

    /// List the objects below a folder, by path.
    pub(super) async fn list_objects(&self, folder: &str) -> Result<BTreeMap<String, ObjectMeta>> {
        let objects = self.store.list(Some(&self.location.object(folder)?));
        let found = objects.try_filter_map(|object| async move {
            let path = self.location.path(&object.location);
            Ok(path.map(|path| (path, object)))
        });
        found
            .try_collect()
            .await
            .map_err(|error| store_error("cannot list the lake", folder, error))
    }

    /// Return the metadata of a file; `None` if it does not exist.
    pub(super) async fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        match self.store.head(&self.location.object(path)?).await {
            Ok(meta) => Ok(Some(meta)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error(CANNOT_READ, path, error)),
        }
    }

    /// Flush a file of a lake on local disk to the disk, so that after a power failure no later put exists without the
    /// earlier ones.
    pub(super) async fn sync_to_disk(&self, path: &str) -> Result<(), StoreError> {
        let Some(folder) = self.folder() else {
            return Ok(());
        };
        let path = folder.join(path);
        let sync = move || {
            std::fs::OpenOptions::new()
                .write(true)
                .open(path)?
                .sync_all()
        };
        let synced = tokio::task::spawn_blocking(sync).await;
        synced
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(local_error)
    }
}

/// An error of a local file as an error of the store.
pub(super) fn local_error(source: std::io::Error) -> StoreError {
    StoreError::Generic {
        store: "local file",
        source: source.into(),
    }
}
