//! Data files: put whole or not at all, in bounded memory, and only in the place of the expected version.
//!
//! ```text
//! folder         written under _bitlake/incoming, then renamed: a reader of the folder never sees a partial file.
//!                The lock of the run replaces the condition.
//! up to 32 MiB   one conditional put
//! above          a multipart upload, 8 MiB a part. object_store completes it unconditionally, so the current version
//!                is compared right before; between the comparison and the completion only the lease excludes others.
//! ```
//!
//! A put that failed or was refused may still have been done: see [`super::retry`].

use std::path::Path;

use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as StoreError, GetOptions, MultipartUpload, ObjectMeta, ObjectStoreExt, PutMode,
    PutPayload, PutResult,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::layout;
use super::manifest::FileEntry;
use super::parquet::WrittenFile;
use super::retry::PutRetries;
use super::store::{CANNOT_READ, Lake, local_error};
use super::store_errors::{is_permanent, store_error};
use super::version::ObjectVersion;
use crate::digest::hex;
use crate::error::{ErrorKind, OrError, Result};

/// Largest file, in bytes, that one request puts: the request has the whole file in memory.
const MAX_SINGLE_PUT: u64 = 32 << 20;
/// Bytes of a part of a multipart upload. S3 accepts at most 10,000 parts.
const PART_BYTES: usize = 8 << 20;

const CANNOT_COPY: &str = "cannot write a temporary file";

impl Lake {
    /// Put a local file in one atomic step, in bounded memory, whatever is there.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when it cannot be put; the lake is unchanged then.
    pub async fn put_file(&self, local: &Path, path: &str) -> Result<()> {
        self.upload_with_retries(local, path, None, PutMode::Overwrite)
            .await?;
        Ok(())
    }

    /// Put a written file if the current version is `expected`; `None`: if there is no such file. On local disk the version
    /// is not compared; the lock of the run excludes other writers.
    ///
    /// # Errors
    /// As [`Lake::put_versioned`].
    pub async fn put_data(
        &self,
        file: &WrittenFile,
        path: &str,
        expected: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion> {
        let mode = self.put_mode(expected);
        self.upload_with_retries(&file.path, path, Some(&file.sha256), mode)
            .await
    }

    /// `sha256`: the digest of the local file, which recognizes a put whose reply was lost.
    async fn upload_with_retries(
        &self,
        local: &Path,
        path: &str,
        sha256: Option<&String>,
        mode: PutMode,
    ) -> Result<ObjectVersion> {
        let object = self.location.object(path)?;
        let mut retries = PutRetries::new(self.location.compares());
        loop {
            let error = match self.upload_once(local, path, &object, &mode).await {
                Ok(put) => return Ok(ObjectVersion::of_put(put)),
                Err(error) => self.retryable_error(path, error)?,
            };
            let found = match sha256 {
                Some(wanted) => self.read(path, None, None).await.map(|it| {
                    it.map(|(found, meta)| (found == *wanted, ObjectVersion::of_object(meta)))
                }),
                None => self
                    .current_version(path)
                    .await
                    .map(|it| it.map(|it| (false, it))),
            };
            if let Some(version) = retries.wait_or_finish(path, &mode, error, found).await? {
                return Ok(version);
            }
        }
    }

    async fn upload_once(
        &self,
        local: &Path,
        path: &str,
        object: &ObjectPath,
        mode: &PutMode,
    ) -> Result<PutResult, StoreError> {
        let mut file = tokio::fs::File::open(local).await.map_err(local_error)?;
        let bytes = file.metadata().await.map_err(local_error)?.len();
        if self.folder().is_some() && !path.starts_with(layout::PRIVATE) {
            return self.upload_and_rename(&mut file, object).await;
        }
        if bytes > MAX_SINGLE_PUT || self.folder().is_some() {
            let put = self.upload_parts(&mut file, object, mode).await?;
            self.sync_to_disk(path).await?;
            return Ok(put);
        }
        let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
        file.read_to_end(&mut content).await.map_err(local_error)?;
        self.store
            .put_opts(object, PutPayload::from(content), mode.clone().into())
            .await
    }

    async fn upload_and_rename(
        &self,
        file: &mut tokio::fs::File,
        object: &ObjectPath,
    ) -> Result<PutResult, StoreError> {
        let incoming = layout::incoming_file(object.as_ref());
        let partial = ObjectPath::parse(&incoming)?;
        self.upload_parts(file, &partial, &PutMode::Overwrite)
            .await?;
        self.sync_to_disk(&incoming).await?;
        self.store.rename(&partial, object).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    /// Upload a file in parts; a failed upload is aborted and leaves nothing.
    async fn upload_parts(
        &self,
        file: &mut tokio::fs::File,
        object: &ObjectPath,
        mode: &PutMode,
    ) -> Result<PutResult, StoreError> {
        let mut upload = self.store.put_multipart(object).await?;
        let put = async {
            send_parts(file, upload.as_mut()).await?;
            self.check_condition(object, mode).await?;
            upload.complete().await
        };
        let put = put.await;
        if put.is_err() {
            upload.abort().await.ok();
        }
        put
    }

    /// Fail unless the current version satisfies the condition of a put.
    async fn check_condition(&self, object: &ObjectPath, mode: &PutMode) -> Result<(), StoreError> {
        if matches!(mode, PutMode::Overwrite) {
            return Ok(());
        }
        let current = match self.store.head(object).await {
            Err(StoreError::NotFound { .. }) => None,
            head => Some(ObjectVersion::of_object(head?)),
        };
        if ObjectVersion::satisfies(current.as_ref(), mode, self.location.compares()) {
            return Ok(());
        }
        Err(StoreError::Precondition {
            path: object.to_string(),
            source: "the object is another than expected".into(),
        })
    }

    /// Whether the file at `path` is the one that the manifest's `entry` describes: its ETag is the recorded one, or the
    /// digest of its content is.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the file cannot be read.
    pub async fn has_content(&self, path: &str, entry: &FileEntry) -> Result<bool> {
        Ok(self.version_with_content(path, entry).await?.is_some())
    }

    /// Return whether there is a file of `bytes` bytes at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the lake cannot be read.
    pub async fn has_file(&self, path: &str, bytes: u64) -> Result<bool> {
        let head = self.head(path).await?;
        Ok(head.is_some_and(|meta| meta.size == bytes))
    }

    /// Return the version of the file at `path` if it is the one that `entry` describes. The same content put again has
    /// another version.
    pub(super) async fn version_with_content(
        &self,
        path: &str,
        entry: &FileEntry,
    ) -> Result<Option<ObjectVersion>> {
        let head = self.head(path).await?;
        let Some(meta) = head.filter(|meta| meta.size == entry.bytes) else {
            return Ok(None);
        };
        if entry.etag.is_some() && entry.etag == meta.e_tag {
            return Ok(Some(ObjectVersion::of_object(meta)));
        }
        self.version_with_digest(path, entry).await
    }

    /// As [`Lake::version_with_content`], but always by the digest of the content.
    pub(super) async fn version_with_digest(
        &self,
        path: &str,
        entry: &FileEntry,
    ) -> Result<Option<ObjectVersion>> {
        let found = self.read(path, None, None).await?;
        let same = found.filter(|(sha256, _)| *sha256 == entry.sha256);
        Ok(same.map(|(_, meta)| ObjectVersion::of_object(meta)))
    }

    /// Copy a file, or a former version of it, to local disk, and return its SHA-256; `None` if it does not exist.
    pub(super) async fn fetch(
        &self,
        path: &str,
        version: Option<&str>,
        local: &Path,
    ) -> Result<Option<String>> {
        let mut copy = tokio::fs::File::create(local)
            .await
            .or_error(ErrorKind::Lake, CANNOT_COPY)?;
        let found = self.read(path, version, Some(&mut copy)).await?;
        copy.flush().await.or_error(ErrorKind::Lake, CANNOT_COPY)?;
        Ok(found.map(|(sha256, _)| sha256))
    }

    /// Read a file and return its SHA-256 and metadata; `None` if it does not exist. With `copy`, write its content there.
    async fn read(
        &self,
        path: &str,
        version: Option<&str>,
        mut copy: Option<&mut tokio::fs::File>,
    ) -> Result<Option<(String, ObjectMeta)>> {
        let failed = |error| store_error(CANNOT_READ, path, error);
        let options = GetOptions::new().with_version(version);
        let found = match self
            .store
            .get_opts(&self.location.object(path)?, options)
            .await
        {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let meta = found.meta.clone();
        let mut hash = Sha256::new();
        let mut stream = found.into_stream();
        while let Some(bytes) = stream.try_next().await.map_err(failed)? {
            hash.update(&bytes);
            if let Some(copy) = &mut copy {
                let written = copy.write_all(&bytes).await;
                written.or_error(ErrorKind::Lake, CANNOT_COPY)?;
            }
        }
        Ok(Some((hex(&hash.finalize()), meta)))
    }

    /// Whether the bucket still has the version of a file that `entry` describes.
    pub(super) async fn has_version(&self, path: &str, entry: &FileEntry) -> Result<bool> {
        if entry.version.is_none() {
            return Ok(false);
        }
        let options = GetOptions::new()
            .with_version(entry.version.clone())
            .with_head(true);
        let object = self.location.object(path)?;
        match self.store.get_opts(&object, options).await {
            Ok(found) => Ok(found.meta.e_tag == entry.etag && found.meta.size == entry.bytes),
            Err(error) if is_permanent(&error) => Err(store_error(CANNOT_READ, path, error)),
            // S3 answers 400, 404 or 405 for an unknown version id or a deleted version. object_store 0.13 does not export
            // the error that carries the status, so a second request decides: if the store answers for the path, the
            // version does not exist.
            Err(_) => self.head(path).await.map(|_| false),
        }
    }
}

/// Send a file in parts: one part is read while the part before it is sent.
async fn send_parts(
    file: &mut tokio::fs::File,
    upload: &mut dyn MultipartUpload,
) -> Result<(), StoreError> {
    let mut in_flight = None;
    loop {
        let mut part = Vec::with_capacity(PART_BYTES);
        let mut limited = (&mut *file).take(PART_BYTES as u64);
        limited.read_to_end(&mut part).await.map_err(local_error)?;
        if part.is_empty() {
            break;
        }
        let sending = upload.put_part(PutPayload::from(part));
        if let Some(previous) = in_flight.replace(tokio::spawn(sending)) {
            previous.await??;
        }
    }
    match in_flight {
        Some(last) => last.await?,
        None => Ok(()),
    }
}
