//! JSON objects that change by conditional puts: manifest, state, reports.
//!
//! A put names the version that it replaces, and fails if that is not the current one. S3 and Azure decide that
//! themselves by the ETag (If-Match, If-None-Match), Google by the generation (x-goog-if-generation-match). On local disk the versions are compared and the object is put under a file lock.
//!
//! A put that failed or was refused may still have been done: see [`super::retry`].

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutPayload, PutResult};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::layout;
use super::location::LakeLocation;
use super::retry::{CANNOT_WRITE, PutRetries};
use super::store::{CANNOT_READ, Lake, sync};
use super::store_errors::{is_permanent, store_error};
use super::version::{ObjectVersion, lost_race};
use crate::error::{ErrorKind, OrError, Result};

impl Lake {
    /// Read the JSON object at `path`; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the object cannot be read or is damaged.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        Ok(self.get_versioned(path).await?.map(|(value, _)| value))
    }

    /// Read the JSON object at `path` with its version, for [`Lake::put_versioned`].
    ///
    /// # Errors
    /// As [`Lake::get_json`].
    pub async fn get_versioned<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<(T, ObjectVersion)>> {
        let Some((bytes, version)) = self.get_bytes(path).await? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes)
            .or_error(
                ErrorKind::Lake,
                "the file is damaged or was written by a newer version",
            )
            .map_err(|error| error.with("file", path).hint(layout::repair_hint(path)))?;
        Ok(Some((value, version)))
    }

    pub(super) async fn get_bytes(&self, path: &str) -> Result<Option<(Bytes, ObjectVersion)>> {
        let failed = |error| store_error(CANNOT_READ, path, error);
        let found = match self.store.get(&self.location.object(path)?).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let meta = found.meta.clone();
        let bytes = found.bytes().await.map_err(failed)?;
        let version = match self.location {
            LakeLocation::Folder(_) => ObjectVersion::of_content(&bytes),
            LakeLocation::Bucket { .. } => ObjectVersion::of_object(meta),
        };
        Ok(Some((bytes, version)))
    }

    /// Return the version of the file at `path`; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the store does not answer.
    pub async fn current_version(&self, path: &str) -> Result<Option<ObjectVersion>> {
        Ok(self.head(path).await?.map(ObjectVersion::of_object))
    }

    /// Put `value` as JSON in one atomic step, whatever is there.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the store refuses.
    pub async fn put_json<T: Serialize>(&self, path: &str, value: &T) -> Result<()> {
        let text = json_text(value)?;
        self.put_with_retries(path, text, PutMode::Overwrite)
            .await?;
        Ok(())
    }

    /// Put `value` as JSON if the current version is `expected`; `None`: if there is no object. Of two writers of the same
    /// text both may succeed.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`]; [`is_lost_race`](super::is_lost_race) holds when another version was found and nothing was put.
    pub async fn put_versioned<T: Serialize>(
        &self,
        path: &str,
        value: &T,
        expected: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion> {
        self.put_versioned_text(path, json_text(value)?, expected)
            .await
    }

    /// As [`Lake::put_versioned`], for a value that is written as text already.
    pub(super) async fn put_versioned_text(
        &self,
        path: &str,
        text: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion> {
        match &self.location {
            LakeLocation::Folder(folder) => self.put_locked(folder, path, text, expected).await,
            LakeLocation::Bucket { .. } => {
                let mode = self.put_mode(expected);
                self.put_with_retries(path, text, mode).await
            }
        }
    }

    /// Compare and put under the lock of the objects.
    async fn put_locked(
        &self,
        folder: &Path,
        path: &str,
        text: Bytes,
        expected: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion> {
        let lock = lock_file(folder.join(layout::OBJECTS_LOCK)).await?;
        let current = self.get_bytes(path).await?.map(|(_, version)| version);
        if current.as_ref() != expected {
            return Err(lost_race(path));
        }
        let version = ObjectVersion::of_content(&text);
        let object = self.location.object(path)?;
        let put = async {
            let mode = PutMode::Overwrite.into();
            self.store.put_opts(&object, text.into(), mode).await?;
            let file = self.open_to_sync(path).await?;
            // Other objects can be put meanwhile.
            drop(lock);
            sync(file).await
        };
        put.await
            .map_err(|error| store_error(CANNOT_WRITE, path, error))?;
        Ok(version)
    }

    pub(super) async fn put_with_retries(
        &self,
        path: &str,
        text: Bytes,
        mode: PutMode,
    ) -> Result<ObjectVersion> {
        let object = self.location.object(path)?;
        let mut retries = PutRetries::new(self.location.compares());
        loop {
            let put = self.put_object(path, &object, text.clone().into(), mode.clone());
            let error = match put.await {
                Ok(put) => return Ok(ObjectVersion::of_put(put)),
                Err(error) => self.retryable_error(path, error)?,
            };
            let found = self.get_bytes(path).await;
            let found = found.map(|it| it.map(|(found, version)| (found == text, version)));
            if let Some(version) = retries.wait_or_finish(path, &mode, error, found).await? {
                return Ok(version);
            }
        }
    }

    async fn put_object(
        &self,
        path: &str,
        object: &ObjectPath,
        payload: PutPayload,
        mode: PutMode,
    ) -> Result<PutResult, StoreError> {
        let put = self.store.put_opts(object, payload, mode.into()).await?;
        self.sync_to_disk(path).await?;
        Ok(put)
    }

    /// The condition of a put that replaces `expected`. On local disk there are no conditions.
    pub(super) fn put_mode(&self, expected: Option<&ObjectVersion>) -> PutMode {
        match (&self.location, expected) {
            (LakeLocation::Folder(_), _) => PutMode::Overwrite,
            (LakeLocation::Bucket { .. }, None) => PutMode::Create,
            (LakeLocation::Bucket { .. }, Some(version)) => PutMode::Update(version.0.clone()),
        }
    }

    /// Return the error of a put that may succeed when it is retried.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] for a put that cannot.
    pub(super) fn retryable_error(&self, path: &str, error: StoreError) -> Result<StoreError> {
        if self.folder().is_some() || is_permanent(&error) {
            return Err(store_error(CANNOT_WRITE, path, error));
        }
        Ok(error)
    }
}

pub(super) fn json_text<T: Serialize>(value: &T) -> Result<Bytes> {
    let text = serde_json::to_vec_pretty(value);
    let mut text = text.or_error(ErrorKind::Internal, "cannot write JSON")?;
    text.push(b'\n');
    Ok(text.into())
}

/// Wait for the lock on the file at `path`. Dropping the returned file releases it.
async fn lock_file(path: PathBuf) -> Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    let locked = match options.open(&path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => wait_for_lock(file).await,
            Err(TryLockError::Error(error)) => Err(error),
        },
        Err(error) => Err(error),
    };
    locked
        .or_error(ErrorKind::Lake, "cannot lock the lake")
        .map_err(|error| {
            error
                .with("file", path.display())
                .hint("check the folder's permissions")
        })
}

async fn wait_for_lock(file: File) -> std::io::Result<File> {
    let lock = move || file.lock().map(|()| file);
    let locked = tokio::task::spawn_blocking(lock).await;
    locked.map_err(std::io::Error::other).flatten()
}
