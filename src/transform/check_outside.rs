//! Reads the files that the configuration names, as a run does, to find what would make the run fail.

use super::{contracts, outside, settings, steps::StepGraph};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};

/// A file of the configuration, and the rows that a run would read from it.
#[derive(Debug)]
pub struct OutsideCheck {
    /// The key: `[[table]] domain.teams`, `[org] users`.
    pub key: String,
    /// The path or URL.
    pub location: String,
    /// The rows, or the error of a run.
    pub rows: Result<u64>,
}

/// Read every `[[table]]` and every file of `[org]`.
///
/// # Errors
/// [`ErrorKind::Configuration`] if the layout does not fit a table; [`ErrorKind::Lake`] if there is no temporary folder.
pub async fn check_outside(config: &Config) -> Result<Vec<OutsideCheck>> {
    let mut checks = Vec::new();
    for (key, path, rows) in settings::check_org(&config.org) {
        checks.push(OutsideCheck {
            key: format!("[org] {key}"),
            location: path.display().to_string(),
            rows: rows.map(|rows| rows as u64),
        });
    }
    if config.tables.is_empty() {
        return Ok(checks);
    }
    let contracts = contracts(config)?;
    let steps = StepGraph::find(None)?;
    let engine = Engine::new(config.lake.memory_limit)?;
    let folder =
        tempfile::tempdir().or_error(ErrorKind::Lake, "cannot create a temporary folder")?;
    for (n, given) in config.tables.iter().enumerate() {
        let options = config.lake.options_at(&given.location);
        let read = async {
            let contract = contracts.require(&given.layer, &given.table)?;
            let contract = steps.input_contract(contract);
            let part = format!("part_{n}");
            outside::read(&engine, given, &options, &contract, &part, folder.path()).await
        };
        checks.push(OutsideCheck {
            key: format!("[[table]] {}.{}", given.layer, given.table),
            location: given.location.clone(),
            rows: read.await.map(|read| read.rows),
        });
    }
    Ok(checks)
}
