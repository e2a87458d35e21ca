//! Data files on their way into the lake: whole or not at all, in bounded memory, and only over the version expected.
//!
//! ```text
//! folder         grows under _bitlake/incoming, then is moved to its location: a folder that is read meanwhile holds
//!                no half file under any name. The file lock of the run stands for the condition.
//! up to 32 MiB   one conditional put (If-Match, If-None-Match)
//! above          a multipart upload, 8 MiB a part. object_store completes it unconditionally, so the current version
//!                is compared right before: the moment between is guarded by the lease alone.
//! ```
//!
//! A put whose reply was lost may have been done. So a put that failed or was refused is judged by what is there now: the
//! file that was to be put, by its digest, or another.

use std::path::Path;

use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as StoreError, GetOptions, MultipartUpload, ObjectMeta, ObjectStoreExt, PutMode,
    PutPayload, PutResult,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::objects::Attempts;
use super::parquet::hex;
use super::store_errors::{cannot, is_final};
use super::{FileEntry, Lake, LakeLocation, ObjectVersion, WrittenFile, layout};
use crate::error::{ErrorKind, OrError, Result};

/// A file up to this size is put by one request, which holds it in memory.
const SINGLE: u64 = 32 << 20;
/// Bytes of a part; S3 takes no more than 10,000.
const PART: usize = 8 << 20;

const CANNOT_READ: &str = "cannot read from the lake";
const CANNOT_COPY: &str = "cannot write a temporary file";

impl Lake {
    /// Puts a local file in one atomic step, in bounded memory, whatever was there.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when it cannot be put: then nothing was.
    pub async fn put_file(&self, local: &Path, path: &str) -> Result<()> {
        self.put_until_done(local, path, None, PutMode::Overwrite)
            .await?;
        Ok(())
    }

    /// Puts a written file in the place of the version `expected`; `None`: there must be no such file. On local disk
    /// only the run's lock guards the place.
    ///
    /// # Errors
    /// As [`Lake::put_versioned`].
    pub async fn put_data(
        &self,
        file: &WrittenFile,
        path: &str,
        expected: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion> {
        self.put_until_done(&file.path, path, Some(&file.sha256), self.mode(expected))
            .await
    }

    /// `sha256`: the file's, by which a put whose reply was lost is known.
    async fn put_until_done(
        &self,
        local: &Path,
        path: &str,
        sha256: Option<&String>,
        mode: PutMode,
    ) -> Result<ObjectVersion> {
        let object = self.location.object(path)?;
        let mut attempts = Attempts::default();
        loop {
            let error = match self.put_once(local, path, &object, &mode).await {
                Ok(put) => return Ok(ObjectVersion::of(put)),
                Err(error) => self.repeatable(path, error)?,
            };
            let found = match sha256 {
                Some(wanted) => self.digest(path).await.map(|it| {
                    it.map(|(found, meta)| (found == *wanted, ObjectVersion::found(meta)))
                }),
                None => self
                    .current_version(path)
                    .await
                    .map(|it| it.map(|it| (false, it))),
            };
            if let Some(version) = attempts.judge(path, &mode, error, found).await? {
                return Ok(version);
            }
        }
    }

    /// How a put says what it expects.
    pub(super) fn mode(&self, expected: Option<&ObjectVersion>) -> PutMode {
        match (&self.location, expected) {
            (LakeLocation::Folder(_), _) => PutMode::Overwrite,
            (LakeLocation::Bucket { .. }, None) => PutMode::Create,
            (LakeLocation::Bucket { .. }, Some(version)) => PutMode::Update(version.0.clone()),
        }
    }

    async fn put_once(
        &self,
        local: &Path,
        path: &str,
        object: &ObjectPath,
        mode: &PutMode,
    ) -> Result<PutResult, StoreError> {
        let mut file = tokio::fs::File::open(local).await.map_err(unreadable)?;
        let bytes = file.metadata().await.map_err(unreadable)?.len();
        if self.folder().is_some() && !path.starts_with(layout::PRIVATE) {
            let incoming = format!("{}/file", layout::INCOMING);
            let growing = ObjectPath::parse(&incoming)?;
            self.upload(&mut file, &growing, &PutMode::Overwrite)
                .await?;
            self.flush(&incoming).await?;
            self.store.rename(&growing, object).await?;
            return Ok(PutResult {
                e_tag: None,
                version: None,
            });
        }
        if bytes > SINGLE || self.folder().is_some() {
            let put = self.upload(&mut file, object, mode).await?;
            self.flush(path).await?;
            return Ok(put);
        }
        let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
        file.read_to_end(&mut whole).await.map_err(unreadable)?;
        self.store
            .put_opts(object, PutPayload::from(whole), mode.clone().into())
            .await
    }

    /// Brings a file of a local lake to the disk, so that what is put later does not outlive it when the power fails.
    pub(super) async fn flush(&self, path: &str) -> Result<(), StoreError> {
        let Some(folder) = self.folder() else {
            return Ok(());
        };
        let file = tokio::fs::OpenOptions::new()
            .write(true)
            .open(folder.join(path))
            .await;
        file.map_err(unreadable)?
            .sync_all()
            .await
            .map_err(unreadable)
    }

    /// A multipart upload; one that fails leaves nothing.
    async fn upload(
        &self,
        file: &mut tokio::fs::File,
        object: &ObjectPath,
        mode: &PutMode,
    ) -> Result<PutResult, StoreError> {
        let mut upload = self.store.put_multipart(object).await?;
        let put = async {
            send(file, upload.as_mut()).await?;
            self.check(object, mode).await?;
            upload.complete().await
        };
        let put = put.await;
        if put.is_err() {
            upload.abort().await.ok();
        }
        put
    }

    /// Compares what is there with what a put expects.
    async fn check(&self, object: &ObjectPath, mode: &PutMode) -> Result<(), StoreError> {
        let expected = match mode {
            PutMode::Overwrite => return Ok(()),
            PutMode::Create => None,
            PutMode::Update(version) => version.e_tag.as_ref(),
        };
        let current = match self.store.head(object).await {
            Err(StoreError::NotFound { .. }) => None,
            head => head?.e_tag,
        };
        if current.as_ref() == expected {
            return Ok(());
        }
        Err(StoreError::Precondition {
            path: object.to_string(),
            source: "the object is another than expected".into(),
        })
    }

    /// The version of the file that is there now, if there is one.
    pub async fn current_version(&self, path: &str) -> Result<Option<ObjectVersion>> {
        Ok(self.head(path).await?.map(ObjectVersion::found))
    }

    pub(super) async fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        match self.store.head(&self.location.object(path)?).await {
            Ok(meta) => Ok(Some(meta)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(cannot(CANNOT_READ, path, error)),
        }
    }

    /// Whether the file at `path` is the one that the manifest's entry describes: by its ETag if it is the recorded one,
    /// else by the digest of its bytes.
    pub async fn has_content(&self, path: &str, entry: &FileEntry) -> Result<bool> {
        Ok(self.version_with_content(path, entry).await?.is_some())
    }

    /// The same, with the version that it is held as: a file that was put again has another.
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
            return Ok(Some(ObjectVersion::found(meta)));
        }
        self.version_with_digest(path, entry).await
    }

    /// The same, by the digest of its bytes alone.
    pub(super) async fn version_with_digest(
        &self,
        path: &str,
        entry: &FileEntry,
    ) -> Result<Option<ObjectVersion>> {
        let found = self.digest(path).await?;
        let same = found.filter(|(sha256, _)| *sha256 == entry.sha256);
        Ok(same.map(|(_, meta)| ObjectVersion::found(meta)))
    }

    /// The digest of the file that is there now, if there is one.
    async fn digest(&self, path: &str) -> Result<Option<(String, ObjectMeta)>> {
        self.read(path, None, None).await
    }

    /// Copies a file, or a former version of it, to local disk, and returns its digest.
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

    async fn read(
        &self,
        path: &str,
        version: Option<&str>,
        mut copy: Option<&mut tokio::fs::File>,
    ) -> Result<Option<(String, ObjectMeta)>> {
        let failed = |error| cannot(CANNOT_READ, path, error);
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

    /// Whether a former version of a file is still there and is the one that `entry` describes.
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
            Err(error) if is_final(&error) => Err(cannot(CANNOT_READ, path, error)),
            // S3 has several answers to an id that it never gave or where the file was removed. A store that answers
            // for the path itself, and not for this version of it, does not have it.
            Err(_) => self.head(path).await.map(|_| false),
        }
    }
}

/// Sends a file in parts, two at a time.
async fn send(
    file: &mut tokio::fs::File,
    upload: &mut dyn MultipartUpload,
) -> Result<(), StoreError> {
    let mut before = None;
    loop {
        let mut part = Vec::with_capacity(PART);
        let mut limited = (&mut *file).take(PART as u64);
        limited.read_to_end(&mut part).await.map_err(unreadable)?;
        if part.is_empty() {
            break;
        }
        let sending = upload.put_part(PutPayload::from(part));
        if let Some(before) = before.replace(tokio::spawn(sending)) {
            arrived(before).await?;
        }
    }
    match before {
        Some(last) => arrived(last).await,
        None => Ok(()),
    }
}

async fn arrived(part: tokio::task::JoinHandle<Result<(), StoreError>>) -> Result<(), StoreError> {
    part.await?
}

fn unreadable(source: std::io::Error) -> StoreError {
    StoreError::Generic {
        store: "local file",
        source: source.into(),
    }
}
