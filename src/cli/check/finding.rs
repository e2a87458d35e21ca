//! What a check finds, and how it is shown: a line each, with the fix under what needs one.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;

use crate::cli::rows::aligned;
use crate::cli::{CommandOutcome, output};
use crate::error::{Error, ErrorKind, Result};
use crate::escape::escape;
use crate::telemetry::LogFormat;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FindingLevel {
    Ok,
    /// A run works, and somebody should look at this.
    Warn,
    /// A run takes the list as absent, and rightly.
    Absent,
    Failed,
}

impl FindingLevel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Absent => "absent",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) level: FindingLevel,
    /// The lake, a connection, a workspace or a repository.
    pub(super) subject: String,
    /// What of it: `token`, `clock`, a list.
    pub(super) what: String,
    pub(super) said: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
    /// Decides the exit code, where the level is [`FindingLevel::Failed`].
    #[serde(skip)]
    kind: ErrorKind,
}

/// Of a subject and what of it: the first words of each finding.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a>(pub(super) &'a str, pub(super) &'a str);

impl About<'_> {
    pub(super) fn ok(self, said: impl Into<String>) -> Finding {
        self.finding(FindingLevel::Ok, ErrorKind::Internal, said.into(), None)
    }

    pub(super) fn warn(self, said: impl Into<String>, fix: impl Into<String>) -> Finding {
        let fix = Some(fix.into());
        self.finding(FindingLevel::Warn, ErrorKind::Internal, said.into(), fix)
    }

    pub(super) fn absent(self, said: impl Into<String>) -> Finding {
        self.finding(FindingLevel::Absent, ErrorKind::Internal, said.into(), None)
    }

    pub(super) fn failed(
        self,
        kind: ErrorKind,
        said: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        self.finding(FindingLevel::Failed, kind, said.into(), Some(fix.into()))
    }

    /// With the error's own words and hint.
    pub(super) fn error(self, error: &Error) -> Finding {
        let fix = error.advice().map(str::to_owned);
        self.finding(FindingLevel::Failed, error.kind(), said(error), fix)
    }

    fn finding(
        self,
        level: FindingLevel,
        kind: ErrorKind,
        said: String,
        fix: Option<String>,
    ) -> Finding {
        Finding {
            level,
            subject: self.0.to_owned(),
            what: self.1.to_owned(),
            said,
            fix,
            kind,
        }
    }
}

/// An error's line without its hint.
pub(super) fn said(error: &Error) -> String {
    let line = error.to_string();
    match error.advice() {
        Some(hint) => line
            .strip_suffix(&format!(": {hint}"))
            .unwrap_or(&line)
            .to_owned(),
        None => line,
    }
}

/// Prints all of it.
///
/// # Errors
/// When something failed: of the kind that whoever mends one thing at a time should mend first.
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
            output::print(&format!("\n{requests} requests were spent on this\n"))?;
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

/// What stops everything comes before what stops a part.
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
        vec![level, it.subject.clone(), it.what.clone(), it.said.clone()]
    };
    let lines = aligned(&findings.iter().map(cells).collect::<Vec<_>>());
    let mut text = String::new();
    let mut known = BTreeSet::new();
    for (line, finding) in lines.lines().zip(findings) {
        text.push_str(line);
        text.push('\n');
        // One scope is missing for many lists, and is added once.
        if let Some(fix) = &finding.fix
            && known.insert(fix)
        {
            text.push_str(&format!("        fix: {}\n", escape(fix)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_is_shown_once_below_the_first_that_needs_it() {
        let findings = [
            About("lake", "").ok("can be written"),
            About("acme/web", "pipelines").failed(ErrorKind::Api, "no scope", "add it"),
            About("acme/web", "deployments").failed(ErrorKind::Api, "no scope", "add it"),
        ];
        assert_eq!(
            text(&findings),
            "ok      lake                   can be written\n\
             failed  acme/web  pipelines    no scope\n        fix: add it\n\
             failed  acme/web  deployments  no scope\n"
        );
    }

    #[test]
    fn the_exit_code_is_that_of_what_stops_most() {
        let failed = |kind| About("x", "y").failed(kind, "", "");
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
