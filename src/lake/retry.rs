//! Whether a put that failed is tried again.
//!
//! A put whose reply was lost may have been done, and the store's client may have sent it twice, in which case the store
//! refuses the second. S3 also answers 409 while another request for the same object is in progress; that answer says
//! nothing about the condition. So the object that is there now decides:
//!
//! ```text
//! the content to put             the put is done
//! what the condition expects     the put is tried again with the same condition
//! anything else                  the race is lost
//! ```

use std::time::Duration;

use object_store::{Error as StoreError, PutMode};

use super::store_errors::{is_refused, store_error};
use super::version::{ConditionKind, ObjectVersion, lost_race};
use crate::error::Result;

pub(super) const CANNOT_WRITE: &str = "cannot write to the lake";

/// Attempts at a put that fails for a transient reason; the store's client retries each of them by itself.
const MAX_FAILURES: u32 = 3;
/// Attempts at a put that the store refuses although its condition holds.
const MAX_CONFLICTS: u32 = 9;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The attempts of one put so far.
pub(super) struct PutRetries {
    compares: ConditionKind,
    failures: u32,
    conflicts: u32,
}

impl PutRetries {
    /// `compares`: what the store compares for a condition.
    pub(super) fn new(compares: ConditionKind) -> Self {
        Self {
            compares,
            failures: 0,
            conflicts: 0,
        }
    }

    /// Wait until the put may be tried again under the same condition, or return the object's version if the put was done
    /// after all. `found`: the version that is there now, and whether its content is what was to be put.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when another attempt cannot help;
    /// [`is_lost_race`](super::is_lost_race) holds when the object is not the one that `mode` expects.
    pub(super) async fn wait_or_finish(
        &mut self,
        path: &str,
        mode: &PutMode,
        error: StoreError,
        found: Result<Option<(bool, ObjectVersion)>>,
    ) -> Result<Option<ObjectVersion>> {
        let failed = |error| Err(store_error(CANNOT_WRITE, path, error));
        let current = match found {
            Err(_) => return failed(error),
            Ok(Some((true, version))) => return Ok(Some(version)),
            Ok(current) => current.map(|(_, version)| version),
        };
        let wait = if !is_refused(&error) {
            self.failures += 1;
            if self.failures == MAX_FAILURES {
                return failed(error);
            }
            FIRST_WAIT * self.failures
        } else if ObjectVersion::satisfies(current.as_ref(), mode, self.compares) {
            self.conflicts += 1;
            if self.conflicts == MAX_CONFLICTS {
                return failed(error);
            }
            (FIRST_WAIT * (1 << self.conflicts)).min(LONGEST_WAIT)
        } else {
            return Err(lost_race(path));
        };
        tokio::time::sleep(wait).await;
        Ok(None)
    }
}
