//! The lease of a publish: an intent in the manifest, acquired, renewed and released by conditional puts.
//!
//! ```text
//! acquire: manifest with intent (epoch + 1, expires_at) ─▶ renew after half of the duration ─▶ commit: new manifest
//!          fails: another run was faster                   fails: another run took over, no further put
//! ```
//!
//! Another run takes over after `expires_at` only. The holder checks both the monotonic clock and the wall clock, because
//! either may stop while a machine sleeps; after the expiry it must renew before it puts again. On local disk the lock of
//! the run is the lease, and an intent in the manifest is that of a killed run.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::layout::{self, FORMAT_VERSION};
use super::manifest::{Intent, Manifest};
use super::store::Lake;
use super::version::{ObjectVersion, is_lost_race};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// Shortest time between two renewals, so that the work makes progress under any lease duration.
const MIN_RENEWAL: Duration = Duration::from_millis(10);

/// A publish in progress.
pub(super) struct Lease<'a> {
    lake: &'a Lake,
    /// The manifest before the publish, with the intent.
    manifest: Manifest,
    version: ObjectVersion,
    renewed: Instant,
}

impl Lake {
    /// Fail while another run is publishing, so that a run does not spend its quota in vain.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] while another run is publishing.
    pub async fn ensure_no_other_publish(&self, now: DateTime<Utc>) -> Result<()> {
        self.refuse_other_publish(&self.manifest().await?, now)
    }

    /// Release the lease of a run of this process that was interrupted while it published.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the manifest cannot be read or put.
    pub async fn release_lease(&self, run_id: &str) -> Result<()> {
        let (mut manifest, version) = self.versioned_manifest().await?;
        match &mut manifest.intent {
            Some(intent) if self.folder().is_none() && intent.run_id == run_id => {
                intent.expires_at = clock::now();
            }
            _ => return Ok(()),
        }
        self.put_versioned(layout::MANIFEST, &manifest, version.as_ref())
            .await?;
        Ok(())
    }

    pub(super) fn refuse_other_publish(
        &self,
        manifest: &Manifest,
        now: DateTime<Utc>,
    ) -> Result<()> {
        match &manifest.intent {
            Some(other) if self.folder().is_none() && other.expires_at > now => Err(Error::new(
                ErrorKind::Lake,
                "another run is publishing to this lake",
            )
            .with("lake", self.url())
            .with("run", &other.run_id)
            .hint(format!(
                "wait for it to end; if it died, run again after {}; nothing was changed",
                other.expires_at.format("%FT%TZ")
            ))),
            _ => Ok(()),
        }
    }
}

impl<'a> Lease<'a> {
    /// Put an intent into the manifest `before`, which was read as `version`.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when another run changed the manifest meanwhile.
    pub(super) async fn acquire(
        lake: &'a Lake,
        run_id: &str,
        before: Manifest,
        version: Option<&ObjectVersion>,
    ) -> Result<Self> {
        let former = before.intent.as_ref().map_or(0, |intent| intent.epoch);
        let epoch = before.epoch.max(former).saturating_add(1);
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            epoch,
            intent: Some(Intent {
                run_id: run_id.to_owned(),
                epoch,
                expires_at: clock::now() + lake.lease,
            }),
            ..before
        };
        let renewed = Instant::now();
        let version = lake.put_versioned(layout::MANIFEST, &manifest, version);
        Ok(Self {
            version: version.await?,
            lake,
            manifest,
            renewed,
        })
    }

    pub(super) fn epoch(&self) -> u64 {
        self.manifest.epoch
    }

    /// Run `work`, and renew the lease meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the lease is lost: `work` is cancelled. Errors of `work`.
    pub(super) async fn run<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.lake.folder().is_some() {
            return work.await;
        }
        let mut work = std::pin::pin!(work);
        loop {
            if self.until_renewal().is_zero() {
                self.renew().await?;
            }
            tokio::select! {
                // After the machine has slept both are ready; the lease is renewed first.
                biased;
                () = tokio::time::sleep(self.until_renewal().max(MIN_RENEWAL)) => {}
                done = &mut work => return done,
            }
        }
    }

    /// The time until the next renewal.
    fn until_renewal(&self) -> Duration {
        let half = self.lake.lease / 2;
        let by_clock = half.saturating_sub(self.renewed.elapsed());
        let expires = self
            .manifest
            .intent
            .as_ref()
            .map(|intent| intent.expires_at);
        let by_wall = expires.and_then(|at| (at - half - clock::now()).to_std().ok());
        by_clock.min(by_wall.unwrap_or_default())
    }

    async fn renew(&mut self) -> Result<()> {
        let renewed = Instant::now();
        self.set_expiry(clock::now() + self.lake.lease).await?;
        self.renewed = renewed;
        if renewed.elapsed() < self.lake.lease {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Lake,
            "the store is too slow for the lease of a publish",
        )
        .with("lake", self.lake.url())
        .hint("raise `lake.lease`, then run again"))
    }

    async fn set_expiry(&mut self, time: DateTime<Utc>) -> Result<()> {
        let mut next = self.manifest.clone();
        if let Some(intent) = &mut next.intent {
            intent.expires_at = time;
        }
        self.version = self.put(&next).await?;
        self.manifest = next;
        Ok(())
    }

    async fn put(&self, manifest: &Manifest) -> Result<ObjectVersion> {
        let put = self
            .lake
            .put_versioned(layout::MANIFEST, manifest, Some(&self.version));
        put.await.map_err(|error| {
            if !is_lost_race(&error) {
                return error;
            }
            Error::new(ErrorKind::Lake, "another run took the lake over")
                .with("lake", self.lake.url())
                .hint("every file of the lake is complete; run again after that run")
        })
    }

    /// Put `manifest`, which ends the publish.
    pub(super) async fn commit(self, manifest: &Manifest) -> Result<()> {
        self.put(manifest).await?;
        Ok(())
    }

    /// Release the lease after a failure. The intent remains in the manifest with the current time as its expiry, because
    /// files may be newer than their entries.
    pub(super) async fn release(mut self) {
        if self.lake.folder().is_none()
            && let Err(error) = self.set_expiry(clock::now()).await
        {
            tracing::debug!("cannot release the lease: {error}");
        }
    }
}
