//! Parses the file and applies the overrides, which gives a tree of values that know where they were written.
//!
//! serde is not used: its errors name neither the key nor the line, and cannot describe a value that came from the
//! environment.
//!
//! ```text
//! bitlake.toml ─┐
//! BITLAKE__… ───┼─▶ ConfigNode tree ─▶ Section (typed reads) ─▶ Config
//! flags ────────┘   (a later source overrides an earlier one)
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::ConfigPlace;
use crate::error::Result;

/// The prefix of environment variables that override a key: `BITLAKE__SECTION__KEY`.
const ENVIRONMENT_PREFIX: &str = "BITLAKE__";

/// The maximum number of names in the key of an override.
const MAX_LEVELS: usize = 8;

/// A value with the place where it was written.
#[derive(Debug, Clone)]
pub(super) struct ConfigNode {
    pub(super) place: ConfigPlace,
    pub(super) value: ConfigValue,
}

/// A value of the file or of an override.
#[derive(Debug, Clone)]
pub(super) enum ConfigValue {
    String(String),
    Integer(i64),
    Float,
    Boolean(bool),
    /// A date in the spelling of the file.
    Date(String),
    List(Vec<ConfigNode>),
    Table(BTreeMap<String, ConfigNode>),
    /// The text of an override, which is parsed as the type that its key requires. A shell user does not have to quote
    /// TOML.
    Override(String),
}

impl ConfigNode {
    /// Return the type of the value, as error messages name it.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            ConfigValue::String(_) => "a string",
            ConfigValue::Integer(_) => "an integer",
            ConfigValue::Float => "a decimal number",
            ConfigValue::Boolean(_) => "true or false",
            ConfigValue::Date(_) => "a date",
            ConfigValue::List(_) => "a list",
            ConfigValue::Table(_) => "a table",
            ConfigValue::Override(_) => "a single value",
        }
    }
}

/// Parse `text`, then apply the overrides of the environment and of `flags` (dotted key, value), in this order.
pub(super) fn read(
    text: &str,
    path: &Path,
    env: &BTreeMap<String, String>,
    flags: &[(&str, String)],
) -> Result<ConfigNode> {
    let source = ConfigText { text, path };
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error.message().trim().replace('\n', ", ");
        source
            .place(offset)
            .error(format!("the file is not valid TOML: {message}"))
    })?;
    let mut root = ConfigNode {
        place: ConfigPlace::new(path, 1),
        value: ConfigValue::Table(source.entries(table.get_ref())?),
    };
    for (variable, value) in env {
        if let Some(key) = variable.strip_prefix(ENVIRONMENT_PREFIX) {
            let key = key.to_lowercase();
            let place = ConfigPlace::outside(variable);
            let keys: Vec<&str> = key.split("__").collect();
            if keys.len() > MAX_LEVELS {
                return Err(
                    place.error("the variable names more levels than any key has".to_owned())
                );
            }
            root.set(&keys, value, &place)?;
        }
    }
    for (key, value) in flags {
        let keys: Vec<&str> = key.split('.').collect();
        root.set(&keys, value, &ConfigPlace::outside("command line"))?;
    }
    Ok(root)
}

struct ConfigText<'a> {
    text: &'a str,
    path: &'a Path,
}

impl ConfigText<'_> {
    fn place(&self, offset: usize) -> ConfigPlace {
        let before = self.text.get(..offset).unwrap_or(self.text);
        ConfigPlace::new(self.path, before.matches('\n').count() + 1)
    }

    fn entries(&self, table: &DeTable<'_>) -> Result<BTreeMap<String, ConfigNode>> {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            Ok((name.to_string(), self.node(key.span().start, value)?))
        };
        table.iter().map(entry).collect()
    }

    /// Convert `value`. `offset` is the position of the key, or of the item in a list.
    fn node(&self, offset: usize, value: &Spanned<DeValue<'_>>) -> Result<ConfigNode> {
        let place = self.place(offset);
        let value = match value.get_ref() {
            DeValue::String(text) => ConfigValue::String(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                ConfigValue::Integer(parsed.map_err(|_| place.error("the number is out of range"))?)
            }
            DeValue::Float(_) => ConfigValue::Float,
            DeValue::Boolean(flag) => ConfigValue::Boolean(*flag),
            DeValue::Datetime(date) => ConfigValue::Date(date.to_string()),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.node(item.span().start, item));
                ConfigValue::List(items.collect::<Result<_>>()?)
            }
            DeValue::Table(table) => ConfigValue::Table(self.entries(table)?),
        };
        Ok(ConfigNode { place, value })
    }
}

impl ConfigNode {
    /// Set the value under the path `keys`.
    fn set(&mut self, keys: &[&str], value: &str, place: &ConfigPlace) -> Result<()> {
        let Some((key, rest)) = keys.split_first() else {
            *self = ConfigNode {
                place: place.clone(),
                value: ConfigValue::Override(value.to_owned()),
            };
            return Ok(());
        };
        match &mut self.value {
            ConfigValue::Table(entries) => entries
                .entry((*key).to_owned())
                .or_insert_with(|| ConfigNode {
                    place: place.clone(),
                    value: ConfigValue::Table(BTreeMap::new()),
                })
                .set(rest, value, place),
            ConfigValue::List(_) => Err(place
                .error(format!(
                    "`{key}` is part of a list, and lists cannot be overridden"
                ))
                .hint("change the value in the file")),
            _ => Err(place.error(format!("the parent of `{key}` is not a table"))),
        }
    }
}
