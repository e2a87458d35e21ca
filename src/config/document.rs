//! The file's text with the overrides laid over it: one tree, in which every value knows where it was written.
//!
//! serde is not used here on purpose: its errors name a type but neither the key nor the line, and they cannot speak
//! of a value that came from the environment.
//!
//! ```text
//! bitlake.toml ─┐
//! BITLAKE__… ───┼─▶ ConfigNode tree ─▶ Section (typed reads) ─▶ Config
//! flags ────────┘   (the later wins)
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::ConfigPlace;
use crate::error::Result;

/// `BITLAKE__SECTION__KEY`: the prefix of the overrides among the environment variables.
const ENVIRONMENT_PREFIX: &str = "BITLAKE__";

/// Names in an override's key.
const MOST_LEVELS: usize = 8;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct ConfigNode {
    pub(super) place: ConfigPlace,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float,
    Boolean(bool),
    /// As written.
    Date(String),
    List(Vec<ConfigNode>),
    Table(BTreeMap<String, ConfigNode>),
    /// From the environment or a flag: plain text that becomes whatever type its key asks for, so that nobody has to
    /// quote TOML inside a shell.
    Given(String),
}

impl ConfigNode {
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float => "a decimal number",
            Value::Boolean(_) => "true or false",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Given(_) => "a single value",
        }
    }
}

/// Parses `text` and lays the environment's overrides, then `flags` (dotted key, value), over it.
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
            .error(format!("this is not TOML: {message}"))
    })?;
    let mut root = ConfigNode {
        place: ConfigPlace::new(path, 1),
        value: Value::Table(source.entries(table.get_ref())?),
    };
    for (variable, value) in env {
        if let Some(key) = variable.strip_prefix(ENVIRONMENT_PREFIX) {
            let key = key.to_lowercase();
            let place = ConfigPlace::outside(variable);
            let keys: Vec<&str> = key.split("__").collect();
            if keys.len() > MOST_LEVELS {
                return Err(place.error("no key of the configuration lies so deep".to_owned()));
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

    /// `offset`: of the key, or of the item in a list.
    fn node(&self, offset: usize, value: &Spanned<DeValue<'_>>) -> Result<ConfigNode> {
        let place = self.place(offset);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                Value::Integer(parsed.map_err(|_| place.error("this number is too large"))?)
            }
            DeValue::Float(_) => Value::Float,
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.node(item.span().start, item));
                Value::List(items.collect::<Result<_>>()?)
            }
            DeValue::Table(table) => Value::Table(self.entries(table)?),
        };
        Ok(ConfigNode { place, value })
    }
}

impl ConfigNode {
    fn set(&mut self, keys: &[&str], value: &str, place: &ConfigPlace) -> Result<()> {
        let Some((key, rest)) = keys.split_first() else {
            *self = ConfigNode {
                place: place.clone(),
                value: Value::Given(value.to_owned()),
            };
            return Ok(());
        };
        match &mut self.value {
            Value::Table(entries) => entries
                .entry((*key).to_owned())
                .or_insert_with(|| ConfigNode {
                    place: place.clone(),
                    value: Value::Table(BTreeMap::new()),
                })
                .set(rest, value, place),
            Value::List(_) => Err(place
                .error(format!(
                    "`{key}` lies in a list, and lists cannot be overridden"
                ))
                .hint("change it in the file")),
            _ => Err(place.error(format!("`{key}` lies below a value that is not a table"))),
        }
    }
}
