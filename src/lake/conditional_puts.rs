//! Checks that a store honours the conditions of puts. Every step of a run relies on them: on a store that ignores them,
//! two runs would silently overwrite each other.
//!
//! ```text
//!               create only if there is none       replace only the expected version
//! S3, Azure     If-None-Match: *                   If-Match: ETag
//! Google        x-goog-if-generation-match: 0      x-goog-if-generation-match: generation
//! ```
//!
//! A run writes the result to `_bitlake/store.json` with the address of the store, so that it probes a store once, and again
//! after the lake was copied to another store.

use object_store::{Error as StoreError, PutMode, PutPayload, PutResult};
use serde::{Deserialize, Serialize};

use super::layout;
use super::retry::CANNOT_WRITE;
use super::store::Lake;
use super::store_errors::{is_refused, store_error};
use super::version::{ConditionKind, ObjectVersion};
use crate::config::StoreKind;
use crate::digest::hex;
use crate::error::{Error, ErrorKind, Result};

/// The contents of the probe, which differ because S3 and Google derive ETags from contents.
const PROBES: [&str; 2] = [
    "a probe of bitlake's, to be removed\n",
    "a probe of bitlake's, to be removed, put again\n",
];

/// The result of a probe, as `_bitlake/store.json` has it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoreRecord {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    keeps_conditions: bool,
}

impl Lake {
    /// Put and remove a small object, to check that a run can write and, in a bucket, that the store honours the conditions
    /// of puts.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the store refuses or ignores a condition.
    pub async fn probe(&self) -> Result<()> {
        match self.probe_new_path().await {
            // If the reply of a put is lost, the client sends the put again, and the store refuses it because of the first.
            Err(error) if error.find_cause::<StoreError>().is_some_and(is_refused) => {
                self.probe_new_path().await
            }
            probed => probed,
        }
    }

    async fn probe_new_path(&self) -> Result<()> {
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
        if self.folder().is_some() {
            return self.put_json(path, &PROBES).await;
        }
        let object = self.location.object(path)?;
        let put = async |mode: PutMode, text: &'static str| {
            let payload = PutPayload::from_static(text.as_bytes());
            self.store.put_opts(&object, payload, mode.into()).await
        };
        let [first, second] = PROBES;
        let (create, update) = match self.location.compares() {
            ConditionKind::ETag => ("If-None-Match", "If-Match"),
            ConditionKind::Generation => (
                "x-goog-if-generation-match: 0",
                "x-goog-if-generation-match",
            ),
        };
        let created = put(PutMode::Create, first).await;
        let created = self.expect_success(path, create, created)?;
        self.expect_refusal(path, create, put(PutMode::Create, second).await)?;
        // The store must accept a condition that is true, and refuse it when it is sent again.
        let stale = PutMode::Update(ObjectVersion::of_put(created).0);
        self.expect_success(path, update, put(stale.clone(), second).await)?;
        self.expect_refusal(path, update, put(stale, first).await)
    }

    fn expect_success(
        &self,
        path: &str,
        condition: &str,
        put: Result<PutResult, StoreError>,
    ) -> Result<PutResult> {
        put.map_err(|error| match is_unknown_condition(&error) {
            true => self.ignored(condition).source(error),
            false => store_error(CANNOT_WRITE, path, error),
        })
    }

    fn expect_refusal(
        &self,
        path: &str,
        condition: &str,
        put: Result<PutResult, StoreError>,
    ) -> Result<()> {
        match put {
            Ok(_) => Err(self.ignored(condition)),
            Err(error) if is_refused(&error) => Ok(()),
            Err(error) if is_unknown_condition(&error) => {
                Err(self.ignored(condition).source(error))
            }
            Err(error) => Err(store_error(CANNOT_WRITE, path, error)),
        }
    }

    /// Return the error of a store that does not evaluate a condition.
    fn ignored(&self, condition: &str) -> Error {
        Error::new(
            ErrorKind::Lake,
            "the store does not honour the condition of a put",
        )
        .with("lake", self.url())
        .with("store", self.store_name())
        .with("condition", condition)
        .hint(
            "put the lake on a store that honours the conditions of puts (AWS S3, Google Cloud Storage, Azure Blob Storage, \
             MinIO, Cloudflare R2, Ceph from Squid on), or on local disk; otherwise two runs would overwrite each other",
        )
    }

    /// Return the name of the store with the address of its service, for an error.
    fn store_name(&self) -> String {
        let kind = self.location.store_kind();
        let name = kind.map_or("unknown", StoreKind::name);
        match &self.endpoint {
            Some(endpoint) => format!("{name} at {endpoint}"),
            None => name.to_owned(),
        }
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
        // A record that differs comes from another address or another version of bitlake, and does not count.
        let known = self.get_bytes(layout::STORE).await?;
        let known = known.and_then(|(text, _)| serde_json::from_slice::<StoreRecord>(&text).ok());
        if known.as_ref() == Some(&record) {
            return Ok(());
        }
        self.probe().await?;
        self.put_json(layout::STORE, &record).await
    }
}

/// Return whether the store answers 501 to a condition, or the client is configured not to use conditions.
fn is_unknown_condition(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }
    )
}
