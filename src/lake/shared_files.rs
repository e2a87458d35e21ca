//! Stages files of a run for other machines.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::PutMode;
use url::Url;

use super::layout;
use super::location::file_url;
use super::store::Lake;
use crate::digest::{hex, sha256_hex};
use crate::error::{ErrorKind, OrError, Result};

/// Makes local files of a run readable for other machines that read the lake, in a folder of the lake.
#[derive(Debug)]
pub struct SharedFiles {
    lake: Lake,
    run_id: String,
    /// The number of files that were put into a bucket.
    count: AtomicU64,
}

impl SharedFiles {
    /// Create a folder for the files of a run. Nothing is written yet.
    pub fn new(lake: &Lake, run_id: &str) -> Self {
        Self {
            lake: lake.clone(),
            run_id: run_id.to_owned(),
            count: AtomicU64::new(0),
        }
    }

    /// Return the folder whose files other machines can read in place; `None` if the lake is in a bucket.
    pub fn local_folder(&self) -> Option<PathBuf> {
        Some(self.lake.folder()?.join(layout::STAGING))
    }

    /// Return the URL at which other machines read a local file. A file outside the lake is copied into the lake.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when the file cannot be put.
    pub async fn share(&self, local: &Path) -> Result<Url> {
        let folder = self.lake.folder();
        if folder.is_some_and(|folder| local.starts_with(folder)) {
            return file_url(local);
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = layout::staged_file(&self.run_id, number);
        self.lake.put_file(local, &path).await?;
        self.lake.file_url(&path)
    }

    /// Put a file of random text into the lake. Return its URL and its SHA-256, which only a machine that reads this lake
    /// can compute.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when the file cannot be put.
    pub async fn put_lake_check(&self) -> Result<(Url, String)> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).or_error(ErrorKind::Internal, "no randomness")?;
        let text = hex(&random);
        let sha256 = sha256_hex(&text);
        let path = layout::lake_check_file(&self.run_id);
        self.lake
            .put_with_retries(&path, Bytes::from(text), PutMode::Overwrite)
            .await?;
        Ok((self.lake.file_url(&path)?, sha256))
    }

    /// Return the address of the lake.
    pub fn lake_url(&self) -> String {
        self.lake.url()
    }

    /// Remove every file that the run staged in the lake. A failure is only logged, because a later run removes the rest.
    pub async fn remove(&self) {
        let folder = layout::staged_folder(&self.run_id);
        let removed = match self.lake.list(&folder).await {
            Ok(paths) => self.lake.remove_all(paths).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::debug!("cannot remove staged files: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn every_file_of_the_run_is_removed_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::create(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
        let files = SharedFiles::new(&lake, "run");
        let (_, sha256) = files.put_lake_check().await.unwrap();
        assert_eq!(sha256.len(), 64);
        // Of a put that this process no longer knows.
        let late = layout::staged_file("run", 7);
        let other = layout::staged_file("run-2", 0);
        for path in [&late, &other] {
            lake.put_json(path, &1).await.unwrap();
        }
        files.remove().await;
        assert_eq!(lake.list(layout::STAGING).await.unwrap(), [other]);
    }
}
