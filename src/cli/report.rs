//! `bitlake report`: writes the page of the published figures.

use std::path::Path;

use super::args::ReportArgs;
use super::context::{CliContext, CommandOutcome};
use super::output::{print, replace_file};
use crate::config::Config;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::Lake;
use crate::report::{ReportOptions, render};
use crate::telemetry::LogFormat;

pub(super) async fn run(context: &CliContext, args: ReportArgs) -> Result<CommandOutcome> {
    let config = context.config_for_reading()?;
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    let options = ReportOptions {
        projects: args.projects,
        from: args.from,
        to: args.to,
        interval: args.interval,
    };
    write_page(&lake, config.lake.memory_limit, &options, &args.out).await?;
    if !context.global.quiet {
        print(&format!("report  {}\n", args.out.display()))?;
    }
    Ok(CommandOutcome::Complete)
}

/// Write the page to `out`, and replace an existing page as a whole.
///
/// # Errors
/// As [`render`]; [`ErrorKind::Usage`] if the file cannot be written.
pub(super) async fn write_page(
    lake: &Lake,
    memory_limit: Option<u64>,
    options: &ReportOptions,
    out: &Path,
) -> Result<()> {
    let page = render(lake, memory_limit, options).await?;
    replace_file(out, &page)
        .or_error(ErrorKind::Usage, "cannot write the report")
        .map_err(|error| {
            error
                .with("file", out.display())
                .hint("create its folder and allow writing there")
        })
}

/// Write the page that the configuration names, and return the outcome of the run. If the page cannot be written, a
/// complete run becomes incomplete, because its tables are published.
///
/// # Errors
/// If stdout cannot be written.
pub(super) async fn write_configured(
    context: &CliContext,
    config: &Config,
    lake: &Lake,
    outcome: CommandOutcome,
) -> Result<CommandOutcome> {
    let Some(out) = &config.report else {
        return Ok(outcome);
    };
    let options = ReportOptions::default();
    if let Err(error) = write_page(lake, config.lake.memory_limit, &options, out).await {
        tracing::warn!("the report is not written: {error}");
        return Ok(outcome.or_incomplete());
    }
    tracing::info!(file = %out.display(), "wrote the report");
    if !context.global.quiet && context.global.log_format == LogFormat::Text {
        print(&format!("report      {}\n", out.display()))?;
    }
    Ok(outcome)
}
