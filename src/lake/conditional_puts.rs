//! Check whether a store honours the conditions of puts (`If-None-Match`, `If-Match`). Every step of a run relies on them:
//! on a store that ignores them two runs would silently overwrite each other.
//!
//! The result is written to `_bitlake/store.json` with the address of the store, so that a store is probed once, and again
//! after the lake was copied to another store.

use object_store::{Error as StoreError, PutMode, PutPayload, PutResult, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::layout;
use super::retry::CANNOT_WRITE;
use super::store::Lake;
use super::store_errors::{is_refused, store_error};
use crate::digest::hex;
use crate::error::{Error, ErrorKind, Result};

/// An ETag that no content has.
const UNUSED_ETAG: &str = "\"00000000000000000000000000000000\"";

/// The result of a probe, as `_bitlake/store.json` has it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoreRecord {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    keeps_conditions: bool,
}

impl Lake {
    /// Put and remove a small object, to check that a run can, and, in a bucket, that the store honours the conditions of
    /// puts.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the store refuses or ignores a condition.
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
            .map_err(|error| store_error(CANNOT_WRITE, path, error))?;
        self.expect_refusal(path, "If-None-Match", put(PutMode::Create).await)?;
        let wrong = PutMode::Update(UpdateVersion {
            e_tag: Some(UNUSED_ETAG.to_owned()),
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
            // The store answers 501, or the client is configured not to use conditions.
            Err(error @ (StoreError::NotImplemented { .. } | StoreError::NotSupported { .. })) => {
                Some(error)
            }
            Err(error) => return Err(store_error(CANNOT_WRITE, path, error)),
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

    /// Fail unless the store honours the conditions of puts. A store that was probed before is not probed again.
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
        // Another record comes from another address or another version of bitlake, and does not count.
        let known = self.get_bytes(layout::STORE).await?;
        let known = known.and_then(|(text, _)| serde_json::from_slice::<StoreRecord>(&text).ok());
        if known.as_ref() == Some(&record) {
            return Ok(());
        }
        self.probe().await?;
        self.put_json(layout::STORE, &record).await
    }
}
