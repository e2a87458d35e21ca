//! Typed reads from one table of the file, with one wording for each kind of mistake.
//!
//! A [`Section`] is opened with all keys it may have, so that a misspelt key is reported as such before anything else
//! misses it.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::{TZ_VARIANTS, Tz};

use super::document::{ConfigNode, Value};
use super::place::ConfigPlace;
use crate::error::{Error, Result};
use crate::suggest;

pub(super) struct Section<'a> {
    /// As a reader would name it: `[lake]`, `[[connection]]`, `[rules.default] tags`; empty for the file itself.
    name: String,
    place: &'a ConfigPlace,
    entries: &'a BTreeMap<String, ConfigNode>,
}

impl<'a> Section<'a> {
    pub(super) fn open(node: &'a ConfigNode, name: &str, known: &[&str]) -> Result<Self> {
        let section = Self::open_any(node, name)?;
        let unknown = section
            .entries
            .iter()
            .filter(|(key, _)| !known.contains(&key.as_str()))
            .min_by_key(|(_, node)| node.place.line);
        match unknown {
            None => Ok(section),
            Some((key, node)) => Err(node
                .place
                .error(format!("unknown key `{key}`{}", section.within()))
                .hint(suggest::hint(key, known, "known keys"))),
        }
    }

    /// A table whose keys are the user's own names.
    pub(super) fn open_any(node: &'a ConfigNode, name: &str) -> Result<Self> {
        let Value::Table(entries) = &node.value else {
            return Err(node
                .place
                .error(format!("{name} must be a table, not {}", node.kind())));
        };
        Ok(Self {
            name: name.to_owned(),
            place: &node.place,
            entries,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn place(&self) -> &'a ConfigPlace {
        self.place
    }

    /// The key's line, or the section's when the key is not there.
    pub(super) fn place_of(&self, key: &str) -> &'a ConfigPlace {
        self.entries.get(key).map_or(self.place, |node| &node.place)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a ConfigNode> {
        self.entries.get(key)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a ConfigNode)> {
        self.entries.iter().map(|(key, node)| (key.as_str(), node))
    }

    /// "`key` in [section] …", at the key's line.
    pub(super) fn error(&self, key: &str, complaint: &str) -> Error {
        self.place_of(key)
            .error(format!("`{key}`{} {complaint}", self.within()))
    }

    pub(super) fn wrong_type(&self, key: &str, wanted: &str, node: &ConfigNode) -> Error {
        node.place.error(format!(
            "`{key}`{} must be {wanted}, not {}",
            self.within(),
            node.kind()
        ))
    }

    /// Never an empty string.
    pub(super) fn string(&self, key: &str) -> Result<Option<String>> {
        match self.text(key)? {
            Some(text) if text.trim().is_empty() => Err(self.error(key, "is empty")),
            text => Ok(text),
        }
    }

    /// May be empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        match &node.value {
            Value::String(text) | Value::Given(text) => Ok(Some(text.clone())),
            _ => Err(self.wrong_type(key, "a string", node)),
        }
    }

    pub(super) fn required(&self, key: &str, hint: &str) -> Result<String> {
        self.string(key)?.ok_or_else(|| self.missing(key, hint))
    }

    pub(super) fn missing(&self, key: &str, hint: &str) -> Error {
        self.place
            .error(format!("`{key}` is missing{}", self.within()))
            .hint(hint)
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            Value::Given(text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .map(Some)
            .ok_or_else(|| self.wrong_type(key, "an integer", node))
    }

    /// An integer from 1 to `most`.
    pub(super) fn positive(&self, key: &str, most: i64) -> Result<Option<i64>> {
        match self.integer(key)? {
            Some(number) if !(1..=most).contains(&number) => {
                Err(self.error(key, &format!("must be from 1 to {most}, not {number}")))
            }
            number => Ok(number),
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let flag = match &node.value {
            Value::Boolean(flag) => Some(*flag),
            Value::Given(text) => text.trim().parse().ok(),
            _ => None,
        };
        flag.map(Some)
            .ok_or_else(|| self.wrong_type(key, "true or false", node))
    }

    /// A name of the tz database; UTC without.
    pub(super) fn timezone(&self, key: &str) -> Result<Tz> {
        let Some(name) = self.string(key)? else {
            return Ok(Tz::UTC);
        };
        name.parse().map_err(|_| {
            let names = TZ_VARIANTS.iter().map(|zone| zone.name());
            let error = self.error(key, &format!("cannot be `{name}`"));
            match suggest::closest(&name, names) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("use a name of the tz database, as \"Europe/Berlin\""),
            }
        })
    }

    /// A date, as TOML writes it or in quotes.
    pub(super) fn date(&self, key: &str) -> Result<Option<NaiveDate>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let (Value::Date(text) | Value::String(text) | Value::Given(text)) = &node.value else {
            return Err(self.wrong_type(key, "a date", node));
        };
        match text.trim().parse() {
            Ok(date) => Ok(Some(date)),
            Err(_) => Err(self
                .error(key, &format!("cannot be `{text}`"))
                .hint("write a date, as 2027-01-31")),
        }
    }

    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<(String, &'a ConfigPlace)>>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let Value::List(items) = &node.value else {
            return Err(self.wrong_type(key, "a list of strings", node));
        };
        let item = |item: &'a ConfigNode| match &item.value {
            Value::String(text) => Ok((text.clone(), &item.place)),
            _ => Err(self.wrong_type(key, "a list of strings", item)),
        };
        items.iter().map(item).collect::<Result<_>>().map(Some)
    }

    /// A word out of a fixed set.
    pub(super) fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(word) = self.string(key)? else {
            return Ok(None);
        };
        match words.iter().find(|(known, _)| *known == word) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(self.not_one_of(key, &word, words)),
        }
    }

    pub(super) fn not_one_of<T>(&self, key: &str, word: &str, words: &[(&str, T)]) -> Error {
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        self.error(key, &format!("cannot be `{word}`"))
            .hint(suggest::hint(word, &known, "use one of"))
    }

    pub(super) fn section(&self, key: &str, known: &[&str]) -> Result<Option<Section<'a>>> {
        let name = self.child(key);
        self.get(key)
            .map(|node| Section::open(node, &name, known))
            .transpose()
    }

    /// The tables written as `[[key]]`.
    pub(super) fn tables(&self, key: &str, known: &[&str]) -> Result<Vec<Section<'a>>> {
        let name = format!("[[{key}]]");
        let Some(node) = self.get(key) else {
            return Ok(Vec::new());
        };
        let Value::List(items) = &node.value else {
            return Err(self
                .wrong_type(key, "a list of tables", node)
                .hint(format!("write {name} above each")));
        };
        items
            .iter()
            .map(|item| Section::open(item, &name, known))
            .collect()
    }

    fn child(&self, key: &str) -> String {
        if self.name.is_empty() {
            format!("[{key}]")
        } else {
            format!("{} {key}", self.name)
        }
    }

    fn within(&self) -> String {
        if self.name.is_empty() {
            String::new()
        } else {
            format!(" in {}", self.name)
        }
    }
}
