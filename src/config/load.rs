//! Loads the file and the environment into one checked [`Config`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cluster::{self, ClusterConfig};
use super::connection::{self, Connection};
use super::lake::{self, LakeConfig};
use super::outside::{self, OrgFiles, OutsideTable};
use super::paths::BasePath;
use super::project::{self, Project, RepositorySelection};
use super::report;
use super::rules::{self, RuleSet};
use super::section::Section;
use super::since::{self, SyncSettings};
use super::{document, keys};
use crate::encoding;
use crate::error::{Error, ErrorKind, Result};

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The path of the file.
    pub path: PathBuf,
    /// `[lake]`.
    pub lake: LakeConfig,
    /// Every `[[connection]]`; none if the lake is only transformed.
    pub connections: Vec<Connection>,
    /// Every `[[repositories]]`.
    pub repositories: Vec<RepositorySelection>,
    /// Every `[[project]]`.
    pub projects: Vec<Project>,
    /// The rule sets by name; `default` always exists.
    pub rules: BTreeMap<String, RuleSet>,
    /// `[sync]`.
    pub sync: SyncSettings,
    /// Every `[[table]]`.
    pub tables: Vec<OutsideTable>,
    /// `[org]`.
    pub org: OrgFiles,
    /// `[cluster]`.
    pub cluster: ClusterConfig,
    /// `[report] path`: where a run writes the page of its figures.
    pub report: Option<PathBuf>,
    /// `[metrics] textfile`: where a run writes its metrics.
    pub textfile: Option<PathBuf>,
}

impl Config {
    /// Load the file at `path`, then apply the `BITLAKE__SECTION__KEY` variables of `env` and the `overrides` of flags
    /// (dotted key and value), in this order. `env` is the process's environment.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], with the file and the line.
    pub fn load(
        path: &Path,
        env: &BTreeMap<String, String>,
        overrides: &[(&str, String)],
    ) -> Result<Config> {
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
        let text = encoding::text(bytes, path, ErrorKind::Configuration)?;
        Self::parse(&text, path, env, overrides)
    }

    /// Load the file at `path` like [`Config::load`], and treat a missing file like an empty one. Commands that only
    /// read a lake then need nothing but `--lake`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_if_present(
        path: &Path,
        env: &BTreeMap<String, String>,
        overrides: &[(&str, String)],
    ) -> Result<Config> {
        match path.try_exists() {
            Ok(false) => Self::parse("", path, env, overrides),
            _ => Self::load(path, env, overrides),
        }
    }

    /// Parse the text of a configuration file. `path` is the file's path, for errors and relative paths.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        text: &str,
        path: &Path,
        env: &BTreeMap<String, String>,
        overrides: &[(&str, String)],
    ) -> Result<Config> {
        let document = document::read(text, path, env, overrides)?;
        let root = Section::open(&document, "", &keys::ROOT.names())?;
        let base = BasePath::of_file(path);
        let connections = connection::read(&root, &base)?;
        let rules = rules::read(&root)?;
        let repositories = project::read_selections(&root, &connections, &rules)?;
        let lake = lake::read(&root, &base)?;
        let sync = since::read(&root, &lake.url, &base)?;
        Ok(Config {
            path: path.to_path_buf(),
            lake,
            connections,
            repositories,
            projects: project::read_projects(&root)?,
            rules,
            sync,
            tables: outside::read_tables(&root, &base)?,
            org: outside::read_org(&root, &base)?,
            cluster: cluster::read(&root)?,
            report: report::read(&root, &base)?,
            textfile: report::read_metrics(&root, &base)?,
        })
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let error = Error::new(
        ErrorKind::Configuration,
        format!("cannot read the configuration {}", path.display()),
    )
    .source(error);
    if missing {
        error.hint("create one with `bitlake init`, or name another file with --config")
    } else {
        error
    }
}
