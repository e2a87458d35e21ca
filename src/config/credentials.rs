//! Reads where credentials come from.
//!
//! The configuration names an environment variable or a file, never the secret itself. A secret is read when a command
//! needs it, so that `transform` works on a machine that has no token.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::NaiveDate;

use super::document::{ConfigNode, ConfigValue};
use super::keys;
use super::paths::BasePath;
use super::place::ConfigPlace;
use super::section::Section;
use crate::encoding;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::secret::Secret;

/// Where a secret is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable: `{ env = "BITBUCKET_TOKEN" }`.
    Env {
        /// The variable's name.
        variable: String,
        /// The last day on which the secret is valid, if the configuration states it.
        expires: Option<NaiveDate>,
        /// The line that names the variable.
        place: ConfigPlace,
    },
    /// A file: `{ file = "/run/secrets/bitbucket" }`. White space and a byte order mark around the content are ignored.
    File {
        /// The file's path.
        path: PathBuf,
        /// The last day on which the secret is valid, if the configuration states it.
        expires: Option<NaiveDate>,
        /// The line that names the file.
        place: ConfigPlace,
    },
}

impl SecretSource {
    /// Return the last day on which the secret is valid, if the configuration states it. The API does not tell.
    pub fn expires(&self) -> Option<NaiveDate> {
        match self {
            Self::Env { expires, .. } | Self::File { expires, .. } => *expires,
        }
    }

    /// Return a description of the source: `environment variable BITBUCKET_TOKEN` or `file /run/secrets/bitbucket`.
    pub fn origin(&self) -> String {
        match self {
            Self::Env { variable, .. } => format!("environment variable {variable}"),
            Self::File { path, .. } => format!("file {}", path.display()),
        }
    }

    /// Read the secret. `env` is the process's environment.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`], with the line of the configuration, if the variable is not set, if the file cannot be
    /// read, or if the value is empty or has several lines.
    pub fn read(&self, env: &BTreeMap<String, String>) -> Result<Secret> {
        let (found, place, what) = match self {
            Self::Env {
                variable, place, ..
            } => (
                env.get(variable).cloned().ok_or_else(|| {
                    Error::new(
                        ErrorKind::Credentials,
                        format!("the environment variable {variable} is not set"),
                    )
                    .hint("set the variable to the secret")
                }),
                place,
                format!("the environment variable {variable}"),
            ),
            Self::File { path, place, .. } => (
                std::fs::read(path)
                    .or_error(
                        ErrorKind::Credentials,
                        format!("cannot read the credential file {}", path.display()),
                    )
                    .and_then(|bytes| encoding::text(bytes, path, ErrorKind::Credentials)),
                place,
                format!("the credential file {}", path.display()),
            ),
        };
        let text = found.map_err(|error| place.locate(error))?;
        let text = encoding::trimmed(&text);
        let wrong = if text.is_empty() {
            Some("is empty")
        } else if text.chars().any(char::is_control) {
            Some("contains more than one line")
        } else {
            None
        };
        match wrong {
            Some(wrong) => Err(place.locate(Error::new(
                ErrorKind::Credentials,
                format!("{what} {wrong}"),
            ))),
            None => Ok(Secret::new(text.to_owned())),
        }
    }
}

/// Read one source or a list of sources under `key`.
pub(super) fn read_list(
    section: &Section<'_>,
    key: &str,
    base: &BasePath<'_>,
) -> Result<Vec<SecretSource>> {
    match section.get(key).map(|node| &node.value) {
        Some(ConfigValue::List(items)) if !items.is_empty() => items
            .iter()
            .map(|item| read_source(section, key, item, base))
            .collect(),
        _ => Ok(vec![read_one(section, key, base)?]),
    }
}

/// Read the source under `key`, which is required.
pub(super) fn read_one(
    section: &Section<'_>,
    key: &str,
    base: &BasePath<'_>,
) -> Result<SecretSource> {
    match section.get(key) {
        Some(node) => read_source(section, key, node, base),
        None => Err(section.missing(key, &format!("add {}", example(key)))),
    }
}

fn read_source(
    section: &Section<'_>,
    key: &str,
    node: &ConfigNode,
    base: &BasePath<'_>,
) -> Result<SecretSource> {
    if matches!(
        node.value,
        ConfigValue::String(_) | ConfigValue::Override(_)
    ) {
        return Err(section
            .error(key, "must not contain the secret itself")
            .hint(format!("write {}", example(key))));
    }
    if !matches!(node.value, ConfigValue::Table(_)) {
        return Err(section
            .wrong_type(key, "a table with `env` or `file`", node)
            .hint(format!("write {}", example(key))));
    }
    let name = format!("{} {key}", section.name());
    let table = Section::open(node, &name, &keys::CREDENTIAL.names())?;
    let place = node.place.clone();
    // `expires` of the connection is the default for each of its tokens.
    let expires = match table.date("expires")? {
        None => section.date("expires")?,
        date => date,
    };
    match (table.string("env")?, table.string("file")?) {
        (Some(variable), None) => Ok(SecretSource::Env {
            variable,
            expires,
            place,
        }),
        (None, Some(file)) => Ok(SecretSource::File {
            path: base.join(&file),
            expires,
            place,
        }),
        _ => Err(section
            .error(key, "needs exactly one of `env` and `file`")
            .hint(format!("write {}", example(key)))),
    }
}

fn example(key: &str) -> String {
    let variable = key.to_uppercase();
    format!("`{key} = {{ env = \"BITBUCKET_{variable}\" }}` or `{key} = {{ file = \"…\" }}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable() -> SecretSource {
        SecretSource::Env {
            variable: "BITBUCKET_TOKEN".to_owned(),
            expires: None,
            place: ConfigPlace::new("bitlake.toml".as_ref(), 8),
        }
    }

    fn message(value: Option<&str>) -> String {
        let value = value.map(|value| ("BITBUCKET_TOKEN".to_owned(), value.to_owned()));
        let error = variable().read(&value.into_iter().collect()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        error.to_string()
    }

    #[test]
    fn an_unusable_variable_is_reported_with_the_line_of_the_configuration() {
        assert_eq!(
            message(None),
            "the environment variable BITBUCKET_TOKEN is not set (file=bitlake.toml, line=8): \
             set the variable to the secret"
        );
        assert_eq!(
            message(Some(" \n")),
            "the environment variable BITBUCKET_TOKEN is empty (file=bitlake.toml, line=8)"
        );
        assert_eq!(
            message(Some("one\ntwo")),
            "the environment variable BITBUCKET_TOKEN contains more than one line \
             (file=bitlake.toml, line=8)"
        );
    }

    #[test]
    fn line_ends_and_byte_order_marks_of_a_file_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let source = SecretSource::File {
            path: path.clone(),
            expires: None,
            place: ConfigPlace::new("bitlake.toml".as_ref(), 8),
        };
        let error = source.read(&BTreeMap::new()).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!(
                "cannot read the credential file {}",
                path.display()
            )) && error.contains("(file=bitlake.toml, line=8)"),
            "{error}"
        );
        for content in ["s3cr3t\n", "\u{feff}s3cr3t\r\n"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(source.read(&BTreeMap::new()).unwrap().expose(), "s3cr3t");
        }
        std::fs::write(&path, b"\xff\xfes\x003\x00c\x00r\x003\x00t\x00\r\x00\n\x00").unwrap();
        let error = source.read(&BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        let error = error.to_string();
        assert!(
            error.contains("is UTF-16 and must be UTF-8 (file=bitlake.toml, line=8)")
                && error.contains("iconv -f UTF-16 -t UTF-8"),
            "{error}"
        );
    }
}
