//! Where a credential comes from. The file says where to look and never what it is, and nothing is read before it is
//! needed: a `transform` works on a machine that has no token.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::NaiveDate;

use super::document::{ConfigNode, Value};
use super::keys;
use super::load::Relative;
use super::place::ConfigPlace;
use super::section::Section;
use crate::encoding;
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `{ env = "BITBUCKET_TOKEN" }`
    Env {
        variable: String,
        expires: Option<NaiveDate>,
        place: ConfigPlace,
    },
    /// `{ file = "/run/secrets/bitbucket" }`; blanks, line ends and a byte order mark around the content are not part
    /// of it.
    File {
        path: PathBuf,
        expires: Option<NaiveDate>,
        place: ConfigPlace,
    },
}

impl SecretSource {
    /// The last day on which it is good, as far as the configuration says; Bitbucket does not.
    pub fn expires(&self) -> Option<NaiveDate> {
        match self {
            Self::Env { expires, .. } | Self::File { expires, .. } => *expires,
        }
    }

    /// "environment variable BITBUCKET_TOKEN" or "file /run/secrets/bitbucket".
    pub fn origin(&self) -> String {
        match self {
            Self::Env { variable, .. } => format!("environment variable {variable}"),
            Self::File { path, .. } => format!("file {}", path.display()),
        }
    }

    /// `env`: the process's environment.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`], naming the variable or the file and the line that asks for it.
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
                    .hint("set it to the credential")
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
            Some("holds more than one line")
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

/// One source, or a list of them.
pub(super) fn list(
    section: &Section<'_>,
    key: &str,
    relative: &Relative<'_>,
) -> Result<Vec<SecretSource>> {
    match section.get(key).map(|node| &node.value) {
        Some(Value::List(items)) if !items.is_empty() => items
            .iter()
            .map(|item| source(section, key, item, relative))
            .collect(),
        _ => Ok(vec![one(section, key, relative)?]),
    }
}

pub(super) fn one(
    section: &Section<'_>,
    key: &str,
    relative: &Relative<'_>,
) -> Result<SecretSource> {
    match section.get(key) {
        Some(node) => source(section, key, node, relative),
        None => Err(section.missing(key, &format!("add {}", example(key)))),
    }
}

fn source(
    section: &Section<'_>,
    key: &str,
    node: &ConfigNode,
    relative: &Relative<'_>,
) -> Result<SecretSource> {
    if matches!(node.value, Value::String(_) | Value::Given(_)) {
        return Err(section
            .error(key, "must not be written into the configuration")
            .hint(format!("write {}", example(key))));
    }
    if !matches!(node.value, Value::Table(_)) {
        return Err(section
            .wrong_type(key, "a place to read it from", node)
            .hint(format!("write {}", example(key))));
    }
    let name = format!("{} {key}", section.name());
    let table = Section::open(node, &name, &keys::CREDENTIAL.names())?;
    let place = node.place.clone();
    // The connection's date is that of each of its tokens.
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
            path: relative.path(&file),
            expires,
            place,
        }),
        _ => Err(section
            .error(key, "needs one of `env` and `file`")
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
    fn a_missing_variable_names_itself_and_the_line_that_asks_for_it() {
        assert_eq!(
            message(None),
            "the environment variable BITBUCKET_TOKEN is not set (file=bitlake.toml, line=8): \
             set it to the credential"
        );
        assert_eq!(
            message(Some(" \n")),
            "the environment variable BITBUCKET_TOKEN is empty (file=bitlake.toml, line=8)"
        );
        assert_eq!(
            message(Some("one\ntwo")),
            "the environment variable BITBUCKET_TOKEN holds more than one line \
             (file=bitlake.toml, line=8)"
        );
    }

    #[test]
    fn the_line_end_of_a_file_is_not_part_of_the_secret() {
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
