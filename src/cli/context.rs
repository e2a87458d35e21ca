//! The input of every command (flags, environment, progress), and its outcome.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::GlobalArgs;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::is_lake;
use crate::progress::Progress;
use crate::telemetry::LogFormat;
use crate::transform;

const DEFAULT_CONFIG: &str = "bitlake.toml";
/// The variable that names the lake.
const LAKE_URL: &str = "BITLAKE__LAKE__URL";

/// The outcome of a command that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandOutcome {
    /// Everything is done.
    Complete,
    /// Something was skipped or is stale; the command has printed it.
    Incomplete,
    /// The deadline or the quota was reached. State is saved, and the next run resumes.
    Unfinished,
}

impl CommandOutcome {
    /// Return the exit code of the process.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Incomplete => 1,
            Self::Unfinished => 4,
        }
    }

    /// Return the outcome of a command that failed to do the last part of its work.
    pub(super) fn or_incomplete(self) -> Self {
        match self {
            Self::Complete => Self::Incomplete,
            other => other,
        }
    }
}

/// The global flags, the environment and the progress display of a command.
#[derive(Debug, Clone)]
pub(super) struct CliContext {
    pub(super) global: GlobalArgs,
    /// The environment of the process.
    pub(super) env: BTreeMap<String, String>,
    pub(super) progress: Progress,
}

impl CliContext {
    /// Read the environment, and draw progress unless a flag or the log format forbids it.
    pub(super) fn new(global: GlobalArgs) -> Self {
        let is_hidden = global.no_progress || global.quiet || global.log_format == LogFormat::Json;
        let progress = match is_hidden {
            true => Progress::hidden(),
            false => Progress::on_terminal(),
        };
        // The configuration cannot name a variable that is not UTF-8.
        let unicode = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            global,
            env: std::env::vars_os().filter_map(unicode).collect(),
            progress,
        }
    }

    /// Return the path of the configuration file.
    pub(super) fn config_path(&self) -> PathBuf {
        let given = self.global.config.as_deref();
        given.unwrap_or(Path::new(DEFAULT_CONFIG)).to_path_buf()
    }

    /// Load the configuration, which must exist, and check its layout against the contracts.
    ///
    /// # Errors
    /// As [`Config::load`]; [`crate::error::ErrorKind::Configuration`] if the layout does not fit a table.
    pub(super) fn config(&self) -> Result<Config> {
        let config = Config::load(&self.config_path(), &self.env, &self.overrides())?;
        // Check before the first request, so that a mistake costs no quota.
        transform::contracts(&config)?;
        Ok(config)
    }

    /// Load the configuration of a command that only reads a lake, which needs no file if `--lake` is given.
    ///
    /// # Errors
    /// As [`CliContext::config`]; [`ErrorKind::Configuration`] if no flag, variable or file names a lake, and this folder is
    /// not a lake.
    pub(super) fn config_for_reading(&self) -> Result<Config> {
        if self.global.config.is_some() {
            return self.config();
        }
        let path = self.config_path();
        let mut overrides = self.overrides();
        let is_lake_named = self.global.lake.is_some() || self.env.contains_key(LAKE_URL);
        if !is_lake_named && matches!(path.try_exists(), Ok(false)) {
            if !is_lake(Path::new(".")) {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    format!("there is no {DEFAULT_CONFIG} here, and no lake"),
                )
                .hint("name a lake with --lake or a configuration with --config, or create one with `bitlake init`"));
            }
            overrides.push(("lake.url", ".".to_owned()));
        }
        Config::load_if_present(&path, &self.env, &overrides)
    }

    /// Return whether a flag, the environment or this folder names a configuration or a lake.
    pub(super) fn names_a_lake(&self) -> bool {
        self.global.config.is_some()
            || self.global.lake.is_some()
            || self.env.contains_key(LAKE_URL)
            || self.config_path().exists()
            || is_lake(Path::new("."))
    }

    fn overrides(&self) -> Vec<(&'static str, String)> {
        let GlobalArgs {
            lake, memory_limit, ..
        } = &self.global;
        let given = [("lake.url", lake), ("lake.memory_limit", memory_limit)];
        given
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)))
            .collect()
    }
}
