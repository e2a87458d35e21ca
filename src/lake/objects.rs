//! JSON objects that move from one version to the next: manifest, state, reports.
//!
//! A put says which version it replaces, and loses when that is no longer the current one. S3 and memory decide that by
//! themselves (If-Match, If-None-Match). The local disk cannot: a file lock, held for the moment of comparing and
//! putting, stands for it, and a version is the digest of the text, because inode and time of a file can come again.

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{Lake, Place, layout};
use crate::error::{Error, ErrorKind, OrError, Result};

/// One version of an object of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(UpdateVersion);

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
            .map_err(|error| error.with("file", path))?;
        Ok(Some((value, version)))
    }

    async fn get_bytes(&self, path: &str) -> Result<Option<(Bytes, Version)>> {
        let read = async {
            let object = self.store.get(&self.place.object(path)?).await;
            let object = match object {
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                object => object.or_error(ErrorKind::Lake, "cannot read from the lake")?,
            };
            let meta = object.meta.clone();
            let bytes = object.bytes().await;
            let bytes = bytes.or_error(ErrorKind::Lake, "cannot read from the lake")?;
            let version = match self.place {
                Place::Folder(_) => digest(&bytes),
                Place::Bucket { .. } => Version(UpdateVersion {
                    e_tag: meta.e_tag,
                    version: meta.version,
                }),
            };
            Ok(Some((bytes, version)))
        };
        read.await.map_err(|error: Error| error.with("file", path))
    }

    /// Puts `value` as JSON in one atomic step, whatever was there.
    pub async fn put_json<T: Serialize>(&self, path: &str, value: &T) -> Result<()> {
        let payload = PutPayload::from(text(value)?);
        self.put(path, payload, PutMode::Overwrite).await?;
        Ok(())
    }

    /// Puts `value` as JSON in the place of the version `expected`; `None`: there must be no object yet.
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
        let Place::Folder(folder) = &self.place else {
            let mode = match expected {
                None => PutMode::Create,
                Some(Version(version)) => PutMode::Update(version.clone()),
            };
            let put = self.put(path, PutPayload::from(text), mode).await?;
            return Ok(Version(UpdateVersion {
                e_tag: put.e_tag,
                version: put.version,
            }));
        };
        let _turn = turn(folder.join(layout::OBJECTS_LOCK)).await?;
        let current = self.get_bytes(path).await?.map(|(_, version)| version);
        if current.as_ref() != expected {
            return Err(lost_race(path));
        }
        let version = digest(&text);
        self.put(path, PutPayload::from(text), PutMode::Overwrite)
            .await?;
        Ok(version)
    }

    async fn put(
        &self,
        path: &str,
        payload: PutPayload,
        mode: PutMode,
    ) -> Result<object_store::PutResult> {
        use object_store::Error as Refused;
        let object = self.place.object(path)?;
        match self.store.put_opts(&object, payload, mode.into()).await {
            Err(Refused::AlreadyExists { .. } | Refused::Precondition { .. }) => {
                Err(lost_race(path))
            }
            put => put
                .or_error(ErrorKind::Lake, "cannot write to the lake")
                .map_err(|error| error.with("file", path)),
        }
    }
}

fn text<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let text = serde_json::to_vec_pretty(value);
    let mut text = text.or_error(ErrorKind::Internal, "cannot write JSON")?;
    text.push(b'\n');
    Ok(text)
}

fn digest(text: &[u8]) -> Version {
    let hash = Sha256::digest(text);
    let hex = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Version(UpdateVersion {
        e_tag: Some(hex),
        version: None,
    })
}

/// Waits for the lock at `path`; dropping the file lets go of it.
async fn turn(path: std::path::PathBuf) -> Result<File> {
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
