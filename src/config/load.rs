//! From the file and the environment to one checked [`Config`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::place::ConfigPlace;
use super::section::Section;
use super::{Config, connection, document, keys, lake, outside, project, rules, since};
use crate::encoding;
use crate::error::{Error, ErrorKind, Result};

impl Config {
    /// Reads the file at `path`, then lays over it the `BITLAKE__SECTION__KEY` variables of `env`, then `overrides`
    /// (dotted key and value, from flags). `env` is the process's environment, passed in so that tests need none.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], naming the file and the line.
    pub fn load(
        path: &Path,
        env: &BTreeMap<String, String>,
        overrides: &[(&str, String)],
    ) -> Result<Config> {
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
        let text = encoding::text(bytes, path, ErrorKind::Configuration)?;
        Self::parse(&text, path, env, overrides)
    }

    /// As [`Config::load`], but a file that is not there is as an empty one: for what only reads a lake, so that
    /// `--lake` is all it needs.
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

    /// `path` is for errors and for what is relative to the file.
    pub fn parse(
        text: &str,
        path: &Path,
        env: &BTreeMap<String, String>,
        overrides: &[(&str, String)],
    ) -> Result<Config> {
        let document = document::read(text, path, env, overrides)?;
        let root = Section::open(&document, "", &keys::ROOT.names())?;
        let relative = Relative {
            folder: path.parent().unwrap_or(Path::new("")),
        };
        let connections = connection::read(&root, &relative)?;
        let rules = rules::read(&root)?;
        let repositories = project::read_selections(&root, &connections, &rules)?;
        let lake = lake::read(&root, &relative)?;
        let sync = since::read(&root, &lake.url, &relative)?;
        Ok(Config {
            path: path.to_path_buf(),
            lake,
            connections,
            repositories,
            projects: project::read_projects(&root)?,
            rules,
            sync,
            tables: outside::read_tables(&root, &relative)?,
            org: outside::read_org(&root, &relative)?,
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
        error.hint("`bitlake init` writes one, --config names another")
    } else {
        error
    }
}

/// Paths in the file are relative to the file, so that a scheduler's working directory does not matter; paths from
/// the environment and from flags are relative to the working directory, as a shell completes them.
pub(super) struct Relative<'a> {
    folder: &'a Path,
}

impl Relative<'_> {
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    /// A path, or an address with a scheme.
    pub(super) fn location(&self, text: String, place: &ConfigPlace) -> String {
        if text.contains("://") || place.line == 0 || self.folder.as_os_str().is_empty() {
            return text;
        }
        // Joining a string with a string: the result is as printable as its parts.
        self.path(&text).to_string_lossy().into_owned()
    }
}
