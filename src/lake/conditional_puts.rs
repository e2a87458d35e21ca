//! Whether a store keeps the conditions of puts (`If-None-Match`, `If-Match`), which every safe step of a run relies on: on
//! a store that ignores them two runs would overwrite each other without a word.
//!
//! What was found is written to `_bitlake/store.json` with the address that it was found at, so that a run asks once for
//! each store, and anew when the lake was copied to another.

use object_store::{Error as StoreError, PutMode, PutPayload, PutResult, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::parquet::hex;
use super::store_errors::{cannot, is_refused};
use super::{Lake, layout};
use crate::error::{Error, ErrorKind, Result};

/// No content has this ETag.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";
const CANNOT_WRITE: &str = "cannot write to the lake";

/// What is known of a store.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoreRecord {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    keeps_conditions: bool,
}

impl Lake {
    /// Writes and removes a small object: whether a run will be able to, and, in a bucket, whether the store keeps
    /// the conditions of puts.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] with what the store says, or that it ignores a condition.
    pub async fn probe(&self) -> Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            Error::new(ErrorKind::Internal, "no randomness").source(error.to_string())
        })?;
        let path = format!("{}/{}.json", layout::PROBES, hex(&random));
        let probed = self.probe_at(&path).await;
        let removed = self.remove(&path).await;
        probed.and(removed)
    }

    async fn probe_at(&self, path: &str) -> Result<()> {
        let text = "a probe of bitlake's, to be removed\n";
        if self.folder().is_some() {
            return self.put_json(path, &text).await;
        }
        let object = self.location.object(path)?;
        let put = async |mode: PutMode| {
            let payload = PutPayload::from_static(text.as_bytes());
            self.store.put_opts(&object, payload, mode.into()).await
        };
        put(PutMode::Create)
            .await
            .map_err(|error| cannot(CANNOT_WRITE, path, error))?;
        self.expect_refusal(path, "If-None-Match", put(PutMode::Create).await)?;
        let wrong = PutMode::Update(UpdateVersion {
            e_tag: Some(NO_ETAG.to_owned()),
            version: None,
        });
        self.expect_refusal(path, "If-Match", put(wrong).await)
    }

    fn expect_refusal(
        &self,
        path: &str,
        condition: &str,
        put: Result<PutResult, StoreError>,
    ) -> Result<()> {
        let error = match put {
            Err(error) if is_refused(&error) => return Ok(()),
            // 501, or the client is told not to use conditions.
            Err(error @ (StoreError::NotImplemented { .. } | StoreError::NotSupported { .. })) => {
                Some(error)
            }
            Err(error) => return Err(cannot(CANNOT_WRITE, path, error)),
            Ok(_) => None,
        };
        let refusal = Error::new(
            ErrorKind::Lake,
            "the store does not keep the condition of a put",
        )
        .with("lake", self.url())
        .with("condition", condition)
        .hint(
            "two runs would overwrite each other: put the lake on a store that keeps If-None-Match and If-Match (AWS S3, \
             MinIO, Cloudflare R2, Ceph from Squid on), or on local disk",
        );
        Err(match error {
            Some(error) => refusal.source(error),
            None => refusal,
        })
    }

    /// Refuses to write to a store that does not keep the conditions of puts; asks it unless that is known.
    ///
    /// # Errors
    /// As [`Lake::probe`].
    pub async fn ensure_conditional(&self) -> Result<()> {
        if self.folder().is_some() {
            return Ok(());
        }
        let record = StoreRecord {
            url: self.url(),
            endpoint: self.endpoint.clone(),
            keeps_conditions: true,
        };
        // Whatever else stands there was found at another address, or by another version.
        let known = self.get_bytes(layout::STORE).await?;
        let known = known.and_then(|(text, _)| serde_json::from_slice::<StoreRecord>(&text).ok());
        if known.as_ref() == Some(&record) {
            return Ok(());
        }
        self.probe().await?;
        self.put_json(layout::STORE, &record).await
    }
}
