//! Tests of the configuration. `tests/it/configuration.rs` has files with mistakes.

mod assigning;
mod values;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

use super::Config;
use crate::error::{ErrorKind, Result};

/// A valid configuration of nine lines, to which each test adds its lines.
const BASE: &str = include_str!("base.toml");

fn parse(text: &str) -> Result<Config> {
    Config::parse(text, Path::new("bitlake.toml"), &BTreeMap::new(), &[])
}

fn parse_with(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    Config::parse(text, Path::new("conf/bitlake.toml"), &env.collect(), &flags)
}

/// Return the line of a configuration error.
fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    error.to_string()
}
