//! OpenLineage events of a run: START, then COMPLETE, FAIL or ABORT, with the published tables and the source columns of
//! their columns.
//!
//! ```text
//! environment ─▶ settings.rs ─┐
//! run report, steps' plans ───┴▶ event.rs: one JSON object ─▶ transport.rs: HTTP or a file
//! ```
//!
//! The variables are those of OpenLineage's own clients. A failure here logs a warning and never fails the run.

mod event;
mod settings;
mod transport;

use std::path::PathBuf;

use super::context::CliContext;
use super::run_report::RunReport;
use crate::config::Config;
use crate::lake::Lake;
use crate::transform::StepGraph;
use event::{EventContext, EventKind};
use settings::LineageSettings;

/// Sends the events of one run, if the environment names a server or file.
pub(super) struct LineageEmitter {
    settings: Option<LineageSettings>,
    /// The folder of the user's own steps.
    queries: Option<PathBuf>,
}

impl LineageEmitter {
    /// Read the environment. A wrong variable is a warning.
    pub(super) fn from_environment(context: &CliContext) -> Self {
        let settings = LineageSettings::read(&context.env);
        let settings = settings.unwrap_or_else(|error| {
            tracing::warn!("no lineage is sent: {error}");
            None
        });
        Self {
            settings,
            queries: None,
        }
    }

    /// Read the steps of this folder, too.
    pub(super) fn set_queries(&mut self, queries: Option<PathBuf>) {
        self.queries = queries;
    }

    /// Send the event of a run that starts.
    pub(super) async fn start(&self, config: &Config, lake: &Lake, report: &RunReport) {
        self.send(EventKind::Start, config, lake, report).await;
    }

    /// Send the event of a finished run.
    pub(super) async fn finish(&self, config: &Config, lake: &Lake, report: &RunReport) {
        let kind = match &report.head {
            head if head.interrupted == Some(true) => EventKind::Abort,
            head if head.error.is_some() => EventKind::Fail,
            _ => EventKind::Complete,
        };
        self.send(kind, config, lake, report).await;
    }

    async fn send(&self, kind: EventKind, config: &Config, lake: &Lake, report: &RunReport) {
        let Some(settings) = &self.settings else {
            return;
        };
        let sent = async {
            // Only published tables have columns to describe.
            let lineage = match report.transform {
                None => Default::default(),
                Some(_) => StepGraph::find(self.queries.as_deref())?.lineage().await?,
            };
            let lake_url = lake.url();
            let context = EventContext {
                settings,
                config,
                lake: &lake_url,
                report,
                lineage: &lineage,
            };
            transport::send(settings, &context.event(kind)?).await
        };
        if let Err(error) = sent.await {
            tracing::warn!("the lineage of this run was not sent: {error}");
        }
    }
}
