//! The findings of `check` and how they are printed: one line each, followed by its fix.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;

use crate::cli::context::CommandOutcome;
use crate::cli::output::{self, terminal_width};
use crate::cli::table::TextTable;
use crate::error::{Error, ErrorKind, Result};
use crate::plural::counted;
use crate::telemetry::LogFormat;

/// The blanks before a fix.
const FIX_INDENT: usize = 8;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FindingLevel {
    /// The check passed.
    Ok,
    /// A run succeeds, but the user should act.
    Warn,
    /// A run records the list as unavailable, which is not a failure. Printed as `absent`.
    #[serde(rename = "absent")]
    Unavailable,
    /// A run fails, or lacks data.
    Failed,
}

impl FindingLevel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Unavailable => "absent",
            Self::Failed => "failed",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) level: FindingLevel,
    /// The lake, or the name of a connection, workspace or repository.
    pub(super) subject: String,
    /// The checked part of the subject: `token`, `clock`, or the name of a list.
    #[serde(rename = "what")]
    pub(super) part: String,
    #[serde(rename = "said")]
    pub(super) message: String,
    /// The action of the user that fixes the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
    /// The kind of the failure, which decides the exit code; unused for other levels.
    #[serde(skip)]
    kind: ErrorKind,
}

/// The subject of a finding and the checked part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Topic<'a>(pub(super) &'a str, pub(super) &'a str);

impl Topic<'_> {
    /// Return the finding of a check that passed.
    pub(super) fn ok(self, message: impl Into<String>) -> Finding {
        self.finding(FindingLevel::Ok, ErrorKind::Internal, message.into(), None)
    }

    /// Return a warning with its fix.
    pub(super) fn warn(self, message: impl Into<String>, fix: impl Into<String>) -> Finding {
        let fix = Some(fix.into());
        self.finding(FindingLevel::Warn, ErrorKind::Internal, message.into(), fix)
    }

    /// Return the finding of a list that a run records as unavailable.
    pub(super) fn unavailable(self, message: impl Into<String>) -> Finding {
        self.finding(
            FindingLevel::Unavailable,
            ErrorKind::Internal,
            message.into(),
            None,
        )
    }

    /// Return a failure of `kind` with its fix.
    pub(super) fn failed(
        self,
        kind: ErrorKind,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        self.finding(FindingLevel::Failed, kind, message.into(), Some(fix.into()))
    }

    /// Return the finding of an error, with the error's hint as its fix.
    pub(super) fn error(self, error: &Error) -> Finding {
        let fix = error.advice().map(str::to_owned);
        self.finding(
            FindingLevel::Failed,
            error.kind(),
            message_without_hint(error),
            fix,
        )
    }

    fn finding(
        self,
        level: FindingLevel,
        kind: ErrorKind,
        message: String,
        fix: Option<String>,
    ) -> Finding {
        Finding {
            level,
            subject: self.0.to_owned(),
            part: self.1.to_owned(),
            message,
            fix,
            kind,
        }
    }
}

/// Return the line of an error without its hint.
pub(super) fn message_without_hint(error: &Error) -> String {
    let line = error.to_string();
    match error.advice() {
        Some(hint) => line
            .strip_suffix(&format!(": {hint}"))
            .unwrap_or(&line)
            .to_owned(),
        None => line,
    }
}

/// Print the findings and the number of requests.
///
/// # Errors
/// If a check failed, an error whose kind is that of the failure to fix first.
pub(super) fn conclude(
    findings: &[Finding],
    requests: u64,
    format: LogFormat,
) -> Result<CommandOutcome> {
    let failed: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == FindingLevel::Failed)
        .collect();
    let worst = failed
        .iter()
        .map(|it| it.kind)
        .min_by_key(|it| urgency(*it));
    match format {
        LogFormat::Text => {
            output::print(&text(findings))?;
            output::print(&format!(
                "\nthis check took {}\n",
                counted(requests, "request")
            ))?;
        }
        LogFormat::Json => {
            let exit_code = worst.map_or(0, ErrorKind::exit_code);
            let object =
                json!({"findings": findings, "requests": requests, "exit_code": exit_code});
            output::print_json(&object.to_string())?;
        }
    }
    match worst {
        None => Ok(CommandOutcome::Complete),
        Some(kind) => {
            let (n, of) = (failed.len(), findings.len());
            Err(Error::new(kind, format!("{n} of {of} checks failed")))
        }
    }
}

/// Return the rank of a failure: failures that stop everything come before failures that stop a part.
fn urgency(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage | ErrorKind::Configuration => 0,
        ErrorKind::Credentials => 1,
        ErrorKind::Lake => 2,
        ErrorKind::Quota => 3,
        _ => 4,
    }
}

fn text(findings: &[Finding]) -> String {
    let cells = |it: &Finding| {
        let level = it.level.as_str().to_owned();
        vec![
            level,
            it.subject.clone(),
            it.part.clone(),
            it.message.clone(),
        ]
    };
    let lines: Vec<_> = findings.iter().map(cells).collect();
    let lines = TextTable::of_lines(&lines).render_each(terminal_width());
    let mut text = String::new();
    let mut printed = BTreeSet::new();
    for (line, finding) in lines.iter().zip(findings) {
        text.push_str(line);
        // Several findings share a fix, for example a scope that several lists need.
        if let Some(fix) = &finding.fix
            && printed.insert(fix)
        {
            let fix = [vec![format!("fix: {fix}")]];
            let room = terminal_width().map(|width| width - FIX_INDENT);
            for line in TextTable::of_lines(&fix).render(room).lines() {
                text.push_str(&format!("{}{line}\n", " ".repeat(FIX_INDENT)));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_is_printed_once_below_the_first_finding_that_needs_it() {
        let findings = [
            Topic("lake", "").ok("can be written"),
            Topic("acme/web", "pipelines").failed(ErrorKind::Api, "no scope", "add it"),
            Topic("acme/web", "deployments").failed(ErrorKind::Api, "no scope", "add it"),
        ];
        assert_eq!(
            text(&findings),
            "ok      lake                   can be written\n\
             failed  acme/web  pipelines    no scope\n        fix: add it\n\
             failed  acme/web  deployments  no scope\n"
        );
    }

    #[test]
    fn the_exit_code_is_that_of_the_most_urgent_failure() {
        let failed = |kind| Topic("x", "y").failed(kind, "", "");
        let exit_code = |kinds: &[ErrorKind]| {
            let findings: Vec<_> = kinds.iter().map(|kind| failed(*kind)).collect();
            let error = conclude(&findings, 0, LogFormat::Json).unwrap_err();
            error.kind().exit_code()
        };
        assert_eq!(exit_code(&[ErrorKind::Api]), 1);
        assert_eq!(exit_code(&[ErrorKind::Api, ErrorKind::Credentials]), 3);
        assert_eq!(exit_code(&[ErrorKind::Lake, ErrorKind::Quota]), 5);
        let all = [
            ErrorKind::Lake,
            ErrorKind::Credentials,
            ErrorKind::Configuration,
        ];
        assert_eq!(exit_code(&all), 2);
    }
}
