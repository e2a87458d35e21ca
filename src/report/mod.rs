//! The page of `bitlake report`: one HTML file with the delivery figures of each project, without scripts or requests.
//!
//! ```text
//! queries/reports ─▶ data.rs: rows ─┬─▶ page.rs, project.rs: HTML (maud, which escapes) ─┬─▶ one file
//!                                   └─▶ chart/: SVG                                      │
//!                                       style.css ───────────────────────────────────────┘
//! ```
//!
//! The page must be readable where a Content-Security-Policy drops the stylesheet: it is semantic HTML, and charts have
//! their colours and sizes as attributes. The stylesheet adds layout, dark colours and print. Equal lakes give equal
//! bytes, because all times on the page come from the lake.

mod chart;
mod data;
mod format;
mod lists;
mod page;
mod pictures;
mod project;
mod row_table;
mod rows;

use chrono::{DateTime, Utc};

use crate::error::{Error, ErrorKind, Result};
use crate::lake::Lake;
use crate::transform::open_published;

/// The projects and the time that the page shows.
#[derive(Debug, Clone, Default)]
pub struct ReportOptions {
    /// Only these projects; all projects if empty.
    pub projects: Vec<String>,
    /// Only periods that begin at or after this time.
    pub from: Option<String>,
    /// Only periods that end by this time.
    pub to: Option<String>,
    /// The periods of charts.
    pub interval: ReportInterval,
}

/// The length of a chart's periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ReportInterval {
    /// Calendar months.
    #[default]
    Month,
    /// Weeks.
    Week,
}

impl ReportInterval {
    /// Return the value of the parameter `interval`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Week => "week",
        }
    }
}

/// The run whose tables the page shows.
#[derive(Debug, Clone, Default)]
struct PublishedRun {
    run_id: String,
    published_at: Option<DateTime<Utc>>,
}

/// Return the page of the published tables of `lake`. `memory_limit` is in bytes.
///
/// # Errors
/// [`ErrorKind::Empty`] if nothing is published; [`ErrorKind::Usage`] for an unknown project or a malformed time;
/// [`ErrorKind::Lake`] if the lake cannot be read.
pub async fn render(
    lake: &Lake,
    memory_limit: Option<u64>,
    options: &ReportOptions,
) -> Result<String> {
    let manifest = lake.manifest().await?;
    if manifest.tables.is_empty() {
        return Err(Error::new(ErrorKind::Empty, "the lake has no tables yet")
            .with("lake", lake.url())
            .hint("publish them with `bitlake run`, or try `bitlake demo`"));
    }
    let engine = open_published(lake, memory_limit).await?;
    let rows = data::read(&engine, options).await?;
    let run = PublishedRun {
        run_id: manifest.run_id.unwrap_or_default(),
        published_at: manifest.published_at,
    };
    Ok(page::document(&rows, &run, options).into_string())
}
