//! The report of a run, `_bitlake/runs/<run-id>.json`. Commands that write the lake write it; `status` and `schedule` read
//! it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::collect::{CollectReport, StopReason};
use crate::config::CredentialExpiry;
use crate::error::ErrorKind;
use crate::transform::TransformReport;

/// The report of a run, and the summary that `--log-format json` prints.
#[derive(Debug, Serialize)]
pub(super) struct RunReport {
    #[serde(flatten)]
    pub(super) head: RunHead,
    /// Credentials that expire soon.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) expiring: Vec<CredentialExpiry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) collect: Option<CollectReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transform: Option<TransformReport>,
    /// The durations of the phases that began, failed ones included.
    #[serde(skip)]
    pub(super) phases: BTreeMap<&'static str, Duration>,
}

/// The identity of a run, and its result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunHead {
    pub(super) run_id: String,
    pub(super) command: String,
    pub(super) started_at: DateTime<Utc>,
    pub(super) finished_at: DateTime<Utc>,
    pub(super) exit_code: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// Whether a signal stopped the run. Reports of version 0.1 do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) interrupted: Option<bool>,
}

/// The part of a former run's report that `status` and `schedule` read.
#[derive(Debug, Deserialize)]
pub(super) struct FormerRun {
    #[serde(flatten)]
    pub(super) head: RunHead,
    pub(super) collect: Option<FormerCollect>,
    transform: Option<IgnoredAny>,
}

/// The collection of a former run.
#[derive(Debug, Deserialize)]
pub(super) struct FormerCollect {
    /// Requests by table.
    pub(super) requests: BTreeMap<String, u64>,
    /// Estimated requests of the next run; 0 when everything is loaded.
    #[serde(default)]
    pub(super) requests_left: u64,
    #[serde(default)]
    stopped: Option<StopReason>,
}

impl RunReport {
    /// Return whether a signal stopped the run, given its error.
    pub(super) fn is_interrupted(&self, error: Option<ErrorKind>) -> bool {
        let stopped = self.collect.as_ref().and_then(|it| it.stopped.as_ref());
        stopped == Some(&StopReason::Interrupted) || error == Some(ErrorKind::Interrupted)
    }
}

impl FormerRun {
    /// Return whether the run published newer tables.
    pub(super) fn has_published(&self) -> bool {
        let is_rollback = self.head.command == "rollback";
        !is_rollback && self.transform.is_some() && self.head.error.is_none()
    }

    /// Return whether a command was refused before it changed the lake.
    pub(super) fn is_failed_attempt(&self) -> bool {
        let is_scheduled = matches!(self.head.command.as_str(), "run" | "collect");
        let is_idle = self.collect.is_none() && self.transform.is_none();
        is_idle && !is_scheduled && self.head.exit_code == ErrorKind::Usage.exit_code()
    }

    /// Return whether a signal stopped the run.
    pub(super) fn was_interrupted(&self) -> bool {
        self.head.interrupted.unwrap_or_else(|| {
            // Version 0.1 has only texts: that of the collection, else the error of the whole run.
            match self.collect.as_ref().and_then(|it| it.stopped.as_ref()) {
                Some(reason) => *reason == StopReason::Interrupted,
                None => {
                    let error = self.head.error.as_deref();
                    error.is_some_and(|error| error.starts_with("interrupted"))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn former(more: &str) -> FormerRun {
        let text = format!(
            r#"{{"run_id":"r","command":"run","started_at":"2026-11-20T02:00:00Z",
                "finished_at":"2026-11-20T02:10:00Z","exit_code":4{more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn an_interrupted_run_is_known_by_its_value() {
        assert!(former(r#","interrupted":true"#).was_interrupted());
        assert!(!former(r#","interrupted":false,"error":"interrupted: no""#).was_interrupted());
    }

    #[test]
    fn an_interrupted_run_of_version_0_1_is_known_by_its_text() {
        let stopped = |reason: &str| {
            former(&format!(
                r#","collect":{{"requests":{{}},"stopped":"{reason}"}}"#
            ))
        };
        assert!(stopped("interrupted").was_interrupted());
        assert!(!stopped("the deadline has passed").was_interrupted());
        let error = r#","error":"interrupted: state is saved; run again to go on""#;
        assert!(former(error).was_interrupted());
        assert!(!former("").was_interrupted());
    }
}
