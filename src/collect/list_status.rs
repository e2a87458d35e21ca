//! What the outcome of a list means for its state.
//!
//! ```text
//! outcome          never returned before    returned before
//! all pages        complete                 complete
//! some pages       loading: the next round or run reads on
//! 401/403/404/410  unavailable, with reason stale from now on: its rows are kept
//! an error         failed: its rows are kept, the other lists are read
//! ```

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::StatusCode;

use super::list_reader::ListOutcome;
use super::report::EntityReport;
use crate::bitbucket::Unavailable;
use crate::error::Result;
use crate::lake::{ListState, ListStatus};

/// The outcome of a list, for the lists of its records.
pub(super) enum ParentOutcome {
    Read,
    Unavailable(Unavailable),
    Failed(String),
}

impl ParentOutcome {
    /// The outcome of a list that this run has read before.
    pub(super) fn of_report(report: &EntityReport) -> Option<Self> {
        let reason = report.reason.clone().unwrap_or_default();
        match report.status? {
            ListStatus::Unavailable | ListStatus::Stale => Some(Self::Unavailable(
                Unavailable::new(StatusCode::NOT_FOUND, reason),
            )),
            ListStatus::Failed => Some(Self::Failed(reason)),
            ListStatus::Complete | ListStatus::Loading | ListStatus::NotCollected => None,
        }
    }
}

/// Write the outcome of a list into its state. `since`: the oldest wanted time.
pub(super) fn record_outcome(
    state: &mut ListState,
    outcome: &Result<ListOutcome>,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
    report: &mut EntityReport,
) -> ParentOutcome {
    let outcome = match outcome {
        // Not attempted in this run: keep the previous status.
        Ok(ListOutcome::Stopped) if state.reason.is_some() => ParentOutcome::Read,
        Ok(ListOutcome::Complete | ListOutcome::Partial | ListOutcome::Stopped) => {
            record_read(state, since);
            ParentOutcome::Read
        }
        Ok(ListOutcome::Unavailable(reason)) => {
            if record_unavailable(state, reason, now) {
                report.newly_unavailable = Some(reason.status.as_u16());
            }
            ParentOutcome::Unavailable(reason.clone())
        }
        Err(error) => {
            let reason = error.to_string();
            state.status = ListStatus::Failed;
            state.reason = Some(reason.clone());
            ParentOutcome::Failed(reason)
        }
    };
    report.status = Some(state.status);
    report.reason.clone_from(&state.reason);
    outcome
}

fn record_read(state: &mut ListState, since: DateTime<Utc>) {
    let is_loading = !state.ever_returned()
        || state
            .backfill
            .as_ref()
            .is_some_and(|cursor| !cursor.full_refresh)
        || state.complete_from.is_some_and(|from| from > since);
    (state.status, state.reason) = match (is_loading, state.complete_from) {
        (false, _) => (ListStatus::Complete, None),
        (true, Some(from)) => {
            let from = from.to_rfc3339_opts(SecondsFormat::Secs, true);
            let reason = format!("still loading: complete from {from} on");
            (ListStatus::Loading, Some(reason))
        }
        (true, None) => (ListStatus::Loading, Some("still loading".to_owned())),
    };
    state.stale_since = None;
    (state.unavailable_since, state.unavailable_on) = (None, None);
}

/// Return whether the list is found unavailable for the first time.
fn record_unavailable(state: &mut ListState, reason: &Unavailable, now: DateTime<Utc>) -> bool {
    state.reason = Some(reason.reason.clone());
    if state.ever_returned() {
        state.status = ListStatus::Stale;
        state.stale_since.get_or_insert(now);
        return false;
    }
    let is_new = state.status != ListStatus::Unavailable;
    state.status = ListStatus::Unavailable;
    // A permission may be granted any day; a list that the repository does not have rarely appears.
    let is_gone = matches!(reason.status, StatusCode::NOT_FOUND | StatusCode::GONE);
    state.unavailable_on = is_gone.then_some(now);
    let since = state.unavailable_since.filter(|_| is_gone);
    state.unavailable_since = since.or(state.unavailable_on);
    is_new
}
