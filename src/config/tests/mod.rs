//! One case per mistake a user can make, each with the whole line that is shown.

mod assigning;
mod mistakes;
mod values;

use std::collections::BTreeMap;
use std::path::Path;

use super::Config;
use crate::error::{ErrorKind, Result};

/// Sections that are fine, nine lines, for the ones under test to stand on.
const BASE: &str = r#"lake = { url = "out" }
[[connection]]
id = 1
name = "acme"
auth = "none"
[[repositories]]
connection = "acme"
include = ["acme/*"]
exclude = ["acme/sandbox-*"]
"#;

fn parse(text: &str) -> Result<Config> {
    Config::parse(text, Path::new("bitlake.toml"), &BTreeMap::new(), &[])
}

fn parse_with(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    Config::parse(text, Path::new("conf/bitlake.toml"), &env.collect(), &flags)
}

/// The error's line, of which the kind must be that of the configuration.
fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    error.to_string()
}
