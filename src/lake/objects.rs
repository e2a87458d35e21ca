//! JSON objects that move from one version to the next: manifest, state, reports.
//!
//! A put says which version it replaces, and loses when that is no longer the current one. S3 and memory decide that by
//! themselves (If-Match, If-None-Match). The local disk cannot: a file lock, held for the moment of comparing and
//! putting, stands for it, and a version is the digest of the text, because inode and time of a file can come again.
//!
//! A put whose reply was lost may have been done, and one that the store's client sent twice is refused the second time.
//! So a put that failed or was refused is judged by what is there now: the text that was to be put, or another.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use object_store::{
    Error as StoreError, ObjectMeta, ObjectStoreExt, PutMode, PutPayload, PutResult, UpdateVersion,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::faults::{cannot, is_final, is_refused};
use super::files::TRIES;
use super::parquet::hex;
use super::{Lake, Place, layout};
use crate::error::{Error, ErrorKind, OrError, Result};

/// One version of an object of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub(super) UpdateVersion);

impl Version {
    pub(super) fn of(put: PutResult) -> Self {
        Self(UpdateVersion {
            e_tag: put.e_tag,
            version: put.version,
        })
    }

    pub(super) fn found(meta: ObjectMeta) -> Self {
        Self(UpdateVersion {
            e_tag: meta.e_tag,
            version: meta.version,
        })
    }

    fn digest(text: &[u8]) -> Self {
        Self(UpdateVersion {
            e_tag: Some(hex(&Sha256::digest(text))),
            version: None,
        })
    }
}

const CANNOT_WRITE: &str = "cannot write to the lake";
const LOST_RACE: &str = "another run changed the lake meanwhile";

/// Whether a put was refused because the object had changed: the caller may read it again.
pub fn is_lost_race(error: &Error) -> bool {
    error.kind() == ErrorKind::Lake && error.message() == LOST_RACE
}

pub(super) fn lost_race(path: &str) -> Error {
    Error::new(ErrorKind::Lake, LOST_RACE)
        .with("file", path)
        .hint("wait for it to end, then run again")
}

const WAIT: Duration = Duration::from_millis(100);

impl Lake {
    /// The JSON object at `path`, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when it cannot be read or is damaged.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        Ok(self.get_versioned(path).await?.map(|(value, _)| value))
    }

    /// The same with its version, for [`Lake::put_versioned`].
    pub async fn get_versioned<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<(T, Version)>> {
        let Some((bytes, version)) = self.get_bytes(path).await? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes)
            .or_error(
                ErrorKind::Lake,
                "the file is damaged or was written by a newer version",
            )
            .map_err(|error| error.with("file", path).hint(layout::way_out(path)))?;
        Ok(Some((value, version)))
    }

    async fn get_bytes(&self, path: &str) -> Result<Option<(Bytes, Version)>> {
        let failed = |error| cannot("cannot read from the lake", path, error);
        let found = match self.store.get(&self.place.object(path)?).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let meta = found.meta.clone();
        let bytes = found.bytes().await.map_err(failed)?;
        let version = match self.place {
            Place::Folder(_) => Version::digest(&bytes),
            Place::Bucket { .. } => Version::found(meta),
        };
        Ok(Some((bytes, version)))
    }

    /// Puts `value` as JSON in one atomic step, whatever was there.
    pub async fn put_json<T: Serialize>(&self, path: &str, value: &T) -> Result<()> {
        let text = text(value)?.into();
        self.put_by_data(path, text, PutMode::Overwrite).await?;
        Ok(())
    }

    /// Puts `value` as JSON in the place of the version `expected`; `None`: there must be no object yet. Of two writers of
    /// the same text both may win.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`]; [`is_lost_race`] tells when the object is another than expected: nothing was put.
    pub async fn put_versioned<T: Serialize>(
        &self,
        path: &str,
        value: &T,
        expected: Option<&Version>,
    ) -> Result<Version> {
        let text = text(value)?;
        match &self.place {
            Place::Folder(folder) => self.put_in_turn(folder, path, text, expected).await,
            Place::Bucket { .. } => {
                self.put_by_data(path, text.into(), self.mode(expected))
                    .await
            }
        }
    }

    async fn put_in_turn(
        &self,
        folder: &Path,
        path: &str,
        text: Vec<u8>,
        expected: Option<&Version>,
    ) -> Result<Version> {
        let _turn = turn(folder.join(layout::OBJECTS_LOCK)).await?;
        let current = self.get_bytes(path).await?.map(|(_, version)| version);
        if current.as_ref() != expected {
            return Err(lost_race(path));
        }
        let version = Version::digest(&text);
        self.put(path, text.into(), PutMode::Overwrite)
            .await?
            .map_err(|error| cannot(CANNOT_WRITE, path, error))?;
        Ok(version)
    }

    async fn put_by_data(&self, path: &str, text: Bytes, mode: PutMode) -> Result<Version> {
        for tried in 1.. {
            let error = match self.put(path, text.clone().into(), mode.clone()).await? {
                Ok(put) => return Ok(Version::of(put)),
                Err(error) => error,
            };
            let failed = |error| Err(cannot(CANNOT_WRITE, path, error));
            if self.folder().is_some() || is_final(&error) {
                return failed(error);
            }
            let Ok(current) = self.get_bytes(path).await else {
                return failed(error);
            };
            match current {
                Some((found, version)) if found == text => return Ok(version),
                _ if is_refused(&error) => return Err(lost_race(path)),
                _ if tried == TRIES => return failed(error),
                _ => tokio::time::sleep(WAIT * tried).await,
            }
        }
        Err(Error::new(ErrorKind::Internal, "a put without end"))
    }

    async fn put(
        &self,
        path: &str,
        payload: PutPayload,
        mode: PutMode,
    ) -> Result<Result<PutResult, StoreError>> {
        let object = self.place.object(path)?;
        let put = async {
            let put = self.store.put_opts(&object, payload, mode.into()).await?;
            self.flush(path).await?;
            Ok(put)
        };
        Ok(put.await)
    }
}

fn text<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let text = serde_json::to_vec_pretty(value);
    let mut text = text.or_error(ErrorKind::Internal, "cannot write JSON")?;
    text.push(b'\n');
    Ok(text)
}

/// Waits for the lock at `path`; dropping the file lets go of it.
async fn turn(path: PathBuf) -> Result<File> {
    let lock = move |path: &Path| {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        file.lock()?;
        Ok(file)
    };
    let shown = path.display().to_string();
    tokio::task::spawn_blocking(move || lock(&path))
        .await
        .map_err(std::io::Error::other)
        .and_then(|locked: std::io::Result<File>| locked)
        .or_error(ErrorKind::Lake, "cannot lock the lake")
        .map_err(|error| {
            error
                .with("file", shown)
                .hint("check the folder's permissions")
        })
}
