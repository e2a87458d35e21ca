//! JSON objects that move from one version to the next: manifest, state, reports.
//!
//! A put says which version it replaces, and loses when that is no longer the current one. S3 and memory decide that by
//! themselves (If-Match, If-None-Match). The local disk cannot: a file lock, held for the moment of comparing and
//! putting, stands for it, and a version is the digest of the text, because inode and time of a file can come again.
//!
//! A put whose reply was lost may have been done, and one that the store's client sent twice is refused the second time.
//! S3 also answers 409 while another request for the same object is under way, which says nothing about the condition.
//! So a put that failed or was refused is judged by what is there now: what was to be put, what the condition expects (then
//! the put is tried again with the same condition), or something else (then the race is lost).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as StoreError, ObjectMeta, ObjectStoreExt, PutMode, PutPayload, PutResult, UpdateVersion,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::parquet::hex;
use super::store_errors::{cannot, is_final, is_refused};
use super::{Lake, LakeLocation, layout};
use crate::error::{Error, ErrorKind, OrError, Result};

/// One version of an object of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion(pub(super) UpdateVersion);

impl ObjectVersion {
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

/// How often a put that failed in passing is done anew, beside what the store's client does by itself.
const TRIES: u32 = 3;
/// How often a put is tried that the store refuses although its condition holds.
const CONFLICTS: u32 = 9;
const WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

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
        let failed = |error| cannot("cannot read from the lake", path, error);
        let found = match self.store.get(&self.location.object(path)?).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let meta = found.meta.clone();
        let bytes = found.bytes().await.map_err(failed)?;
        let version = match self.location {
            LakeLocation::Folder(_) => ObjectVersion::digest(&bytes),
            LakeLocation::Bucket { .. } => ObjectVersion::found(meta),
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
        expected: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion> {
        let text = text(value)?;
        match &self.location {
            LakeLocation::Folder(folder) => self.put_in_turn(folder, path, text, expected).await,
            LakeLocation::Bucket { .. } => {
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
        expected: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion> {
        let _turn = turn(folder.join(layout::OBJECTS_LOCK)).await?;
        let current = self.get_bytes(path).await?.map(|(_, version)| version);
        if current.as_ref() != expected {
            return Err(lost_race(path));
        }
        let version = ObjectVersion::digest(&text);
        let object = self.location.object(path)?;
        self.put(path, &object, text.into(), PutMode::Overwrite)
            .await
            .map_err(|error| cannot(CANNOT_WRITE, path, error))?;
        Ok(version)
    }

    async fn put_by_data(&self, path: &str, text: Bytes, mode: PutMode) -> Result<ObjectVersion> {
        let object = self.location.object(path)?;
        let mut attempts = Attempts::default();
        loop {
            let put = self.put(path, &object, text.clone().into(), mode.clone());
            let error = match put.await {
                Ok(put) => return Ok(ObjectVersion::of(put)),
                Err(error) => self.repeatable(path, error)?,
            };
            let found = self.get_bytes(path).await;
            let found = found.map(|it| it.map(|(found, version)| (found == text, version)));
            if let Some(version) = attempts.judge(path, &mode, error, found).await? {
                return Ok(version);
            }
        }
    }

    /// The error of a put that may come to its end when it is repeated.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] for one that cannot.
    pub(super) fn repeatable(&self, path: &str, error: StoreError) -> Result<StoreError> {
        match self.folder().is_some() || is_final(&error) {
            true => Err(cannot(CANNOT_WRITE, path, error)),
            false => Ok(error),
        }
    }

    async fn put(
        &self,
        path: &str,
        object: &ObjectPath,
        payload: PutPayload,
        mode: PutMode,
    ) -> Result<PutResult, StoreError> {
        let put = self.store.put_opts(object, payload, mode.into()).await?;
        self.flush(path).await?;
        Ok(put)
    }
}

/// The attempts of one put that failed or were refused.
#[derive(Default)]
pub(super) struct Attempts {
    failures: u32,
    conflicts: u32,
}

impl Attempts {
    /// Waits until the put may be tried again with the same condition. `found`: the version that is there now, and
    /// whether it is what was to be put: then that is returned, and the put is done.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when trying again cannot help; [`is_lost_race`] tells when the object is another than `mode`
    /// expects.
    pub(super) async fn judge(
        &mut self,
        path: &str,
        mode: &PutMode,
        error: StoreError,
        found: Result<Option<(bool, ObjectVersion)>>,
    ) -> Result<Option<ObjectVersion>> {
        let failed = |error| Err(cannot(CANNOT_WRITE, path, error));
        let current = match found {
            Err(_) => return failed(error),
            Ok(Some((true, version))) => return Ok(Some(version)),
            Ok(current) => current.map(|(_, version)| version),
        };
        let wait = if !is_refused(&error) {
            self.failures += 1;
            if self.failures == TRIES {
                return failed(error);
            }
            WAIT * self.failures
        } else if is_as_expected(mode, current.as_ref()) {
            self.conflicts += 1;
            if self.conflicts == CONFLICTS {
                return failed(error);
            }
            (WAIT * (1 << self.conflicts)).min(LONGEST_WAIT)
        } else {
            return Err(lost_race(path));
        };
        tokio::time::sleep(wait).await;
        Ok(None)
    }
}

/// Whether the condition of a put holds over the version that is there.
fn is_as_expected(mode: &PutMode, current: Option<&ObjectVersion>) -> bool {
    match mode {
        PutMode::Overwrite => true,
        PutMode::Create => current.is_none(),
        PutMode::Update(expected) => {
            current.is_some_and(|ObjectVersion(current)| current.e_tag == expected.e_tag)
        }
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
