//! The early end of a collection: by the deadline, the quota, or a signal. List readers check it between two pages, save
//! the records received so far, and return.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Why a collection stopped before it was complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", content = "message", rename_all = "snake_case")]
#[serde(from = "SavedStopReason")]
pub enum StopReason {
    /// The deadline of `--deadline` has passed.
    Deadline,
    /// The request budget is used up; the message of the client.
    Quota(String),
    /// A signal: Ctrl-C or SIGTERM.
    Interrupted,
}

const DEADLINE: &str = "the deadline has passed";
const INTERRUPTED: &str = "interrupted";

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => DEADLINE,
            Self::Quota(message) => message,
            Self::Interrupted => INTERRUPTED,
        })
    }
}

/// The spellings of a reason in run reports: a value, or the text that reports of version 0.1 have.
#[derive(Deserialize)]
#[serde(untagged)]
enum SavedStopReason {
    Value(StopReasonValue),
    Text(String),
}

#[derive(Deserialize)]
#[serde(tag = "reason", content = "message", rename_all = "snake_case")]
enum StopReasonValue {
    Deadline,
    Quota(String),
    Interrupted,
}

impl From<SavedStopReason> for StopReason {
    fn from(saved: SavedStopReason) -> Self {
        match saved {
            SavedStopReason::Value(StopReasonValue::Deadline) => Self::Deadline,
            SavedStopReason::Value(StopReasonValue::Quota(message)) => Self::Quota(message),
            SavedStopReason::Value(StopReasonValue::Interrupted) => Self::Interrupted,
            SavedStopReason::Text(text) if text == DEADLINE => Self::Deadline,
            SavedStopReason::Text(text) if text == INTERRUPTED => Self::Interrupted,
            SavedStopReason::Text(text) => Self::Quota(text),
        }
    }
}

/// Ends a collection early. All list readers of a run share it.
#[derive(Debug)]
pub struct StopSignal {
    deadline: Option<Instant>,
    requested: watch::Sender<Option<StopReason>>,
}

impl StopSignal {
    /// Return a signal with a deadline so long from now, or without one.
    pub fn new(within: Option<Duration>) -> Self {
        Self {
            deadline: within.and_then(|within| Instant::now().checked_add(within)),
            requested: watch::Sender::new(None),
        }
    }

    /// The deadline, if there is one.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Request the end of the collection. The first reason wins.
    pub fn request(&self, reason: StopReason) {
        self.requested.send_if_modified(|requested| {
            let is_first = requested.is_none();
            if is_first {
                *requested = Some(reason);
            }
            is_first
        });
    }

    /// The reason to stop, once there is one.
    pub fn reason(&self) -> Option<StopReason> {
        let is_past = self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now());
        let requested = self.requested.borrow().clone();
        requested.or(is_past.then_some(StopReason::Deadline))
    }

    /// Wait until there is a reason to stop.
    pub async fn wait(&self) {
        let mut requested = self.requested.subscribe();
        let requested = async {
            if requested.wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        match self.deadline {
            Some(deadline) => tokio::select! {
                () = requested => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            },
            None => requested.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> StopReason {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_reason_is_saved_as_a_value() {
        for (reason, json) in [
            (StopReason::Deadline, r#"{"reason":"deadline"}"#),
            (StopReason::Interrupted, r#"{"reason":"interrupted"}"#),
            (
                StopReason::Quota("wait an hour".to_owned()),
                r#"{"reason":"quota","message":"wait an hour"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&reason).unwrap(), json);
            assert_eq!(read(json), reason);
        }
    }

    #[test]
    fn the_text_of_older_reports_is_read() {
        assert_eq!(read("\"the deadline has passed\""), StopReason::Deadline);
        assert_eq!(read("\"interrupted\""), StopReason::Interrupted);
        let quota = StopReason::Quota("the quota of an hour is used up".to_owned());
        assert_eq!(read("\"the quota of an hour is used up\""), quota);
    }

    #[test]
    fn the_first_reason_wins() {
        let signal = StopSignal::new(Some(Duration::ZERO));
        assert_eq!(signal.reason(), Some(StopReason::Deadline));
        signal.request(StopReason::Interrupted);
        signal.request(StopReason::Quota(String::new()));
        assert_eq!(signal.reason(), Some(StopReason::Interrupted));
    }
}
