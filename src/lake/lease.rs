//! The right to put data files: the intent in the manifest, taken, renewed and ended by conditional puts.
//!
//! ```text
//! take ─▶ manifest with intent (epoch + 1, expires_at) ─▶ … renewed when half of its life is gone … ─▶ end: new manifest
//!           lost: another run was faster                    lost: another run took over: no further put
//! ```
//!
//! Nobody else takes over before `expires_at`. Whether the life is over the holder decides by his own clocks, the
//! monotonic one and that of the wall, because either may stand still while a machine sleeps; past it he has to win a
//! renewal before he puts again. On local disk the file lock of the run is the lease: an intent that is found there
//! belongs to a dead run.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::manifest::{Intent, Manifest};
use super::objects::is_lost_race;
use super::{FORMAT_VERSION, Lake, ObjectVersion, layout};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// How long an intent lasts without a word of its run, unless told otherwise: long enough for a slow store, short enough
/// that the successor of a killed run need not wait for a night.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(600);

/// However short the life, work gets on between two renewals.
const STEP: Duration = Duration::from_millis(10);

pub(super) struct Lease<'a> {
    lake: &'a Lake,
    /// The manifest as it was before, with the intent.
    manifest: Manifest,
    version: ObjectVersion,
    taken: Instant,
}

impl Lake {
    /// Whether a publish could begin now: a run asks before it spends its quota.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] while another run is publishing.
    pub async fn ensure_free(&self, now: DateTime<Utc>) -> Result<()> {
        self.refuse_other(&self.manifest().await?, now)
    }

    /// Lets others take over at once from a run of this process that was interrupted while it published.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when the manifest cannot be read or put.
    pub async fn release(&self, run_id: &str) -> Result<()> {
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

    pub(super) fn refuse_other(&self, manifest: &Manifest, now: DateTime<Utc>) -> Result<()> {
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
    /// Puts the intent into the manifest that was read as `version`.
    pub(super) async fn take(
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
        let taken = Instant::now();
        let version = lake.put_versioned(layout::MANIFEST, &manifest, version);
        Ok(Self {
            version: version.await?,
            lake,
            manifest,
            taken,
        })
    }

    pub(super) fn epoch(&self) -> u64 {
        self.manifest.epoch
    }

    /// Does `work` for as long as the lease is ours, and renews it meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when it is lost: the work is dropped where it stands.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.lake.folder().is_some() {
            return work.await;
        }
        let mut work = std::pin::pin!(work);
        loop {
            if self.left().is_zero() {
                self.renew().await?;
            }
            tokio::select! {
                // A process that slept finds both ready.
                biased;
                () = tokio::time::sleep(self.left().max(STEP)) => {}
                done = &mut work => return done,
            }
        }
    }

    /// The time to the next renewal.
    fn left(&self) -> Duration {
        let half = self.lake.lease / 2;
        let by_clock = half.saturating_sub(self.taken.elapsed());
        let expires = self
            .manifest
            .intent
            .as_ref()
            .map(|intent| intent.expires_at);
        let by_wall = expires.and_then(|at| (at - half - clock::now()).to_std().ok());
        by_clock.min(by_wall.unwrap_or_default())
    }

    async fn renew(&mut self) -> Result<()> {
        let taken = Instant::now();
        self.expire_at(clock::now() + self.lake.lease).await?;
        self.taken = taken;
        match taken.elapsed() < self.lake.lease {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Lake,
                "the store is too slow for the lease of a publish",
            )
            .with("lake", self.lake.url())
            .hint("raise `lake.lease`, then run again")),
        }
    }

    async fn expire_at(&mut self, time: DateTime<Utc>) -> Result<()> {
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
        put.await.map_err(|error| match is_lost_race(&error) {
            true => Error::new(ErrorKind::Lake, "another run took the lake over")
                .with("lake", self.lake.url())
                .hint("what was put is whole; run again when that run has ended"),
            false => error,
        })
    }

    /// Makes `manifest` the lake's.
    pub(super) async fn end(self, manifest: &Manifest) -> Result<()> {
        self.put(manifest).await?;
        Ok(())
    }

    /// Lets others take over at once, after a failure. The intent stays, and says that files may be newer than the
    /// manifest.
    pub(super) async fn give_up(mut self) {
        if self.lake.folder().is_none()
            && let Err(error) = self.expire_at(clock::now()).await
        {
            tracing::debug!("cannot end the intent: {error}");
        }
    }
}
