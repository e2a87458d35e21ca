//! Reads typed values from one table of the file, and words each kind of mistake in one place.
//!
//! A [`Section`] is opened with the names of all its keys, so that a misspelt key is reported as such and not as a missing key.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::{TZ_VARIANTS, Tz};

use super::document::{ConfigNode, ConfigValue};
use super::place::ConfigPlace;
use super::store::{AddressUse, RefusedPart};
use crate::error::{Error, Result};
use crate::suggest;

/// One table of the file.
pub(super) struct Section<'a> {
    /// The table's name in errors: `[lake]`, `[[connection]]`, `[rules.default] tags`; empty for the file itself.
    name: String,
    place: &'a ConfigPlace,
    entries: &'a BTreeMap<String, ConfigNode>,
}

impl<'a> Section<'a> {
    /// Open the table `node`, whose keys must be among `known`.
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

    /// Open the table `node`, whose keys are names that the user chooses.
    pub(super) fn open_any(node: &'a ConfigNode, name: &str) -> Result<Self> {
        let ConfigValue::Table(entries) = &node.value else {
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

    /// Return the table's name in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Return the place of the table.
    pub(super) fn place(&self) -> &'a ConfigPlace {
        self.place
    }

    /// Return the place of `key`, or of the table if the key is missing.
    pub(super) fn place_of(&self, key: &str) -> &'a ConfigPlace {
        self.entries.get(key).map_or(self.place, |node| &node.place)
    }

    /// Return the value of `key`, of any type.
    pub(super) fn get(&self, key: &str) -> Option<&'a ConfigNode> {
        self.entries.get(key)
    }

    /// Return every key with its value.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a ConfigNode)> {
        self.entries.iter().map(|(key, node)| (key.as_str(), node))
    }

    /// Return the error "`key` in [section] `complaint`" at the place of the key.
    pub(super) fn error(&self, key: &str, complaint: &str) -> Error {
        self.place_of(key)
            .error(format!("`{key}`{} {complaint}", self.within()))
    }

    /// Refuse the address under `key` if it has a part that is a secret or may have one.
    pub(super) fn check_address(
        &self,
        key: &str,
        address: &str,
        used_as: AddressUse,
    ) -> Result<()> {
        match RefusedPart::of(address, used_as) {
            None => Ok(()),
            Some(refused) => Err(self
                .error(key, &format!("has {}", refused.part))
                .with("address", refused.shown)
                .hint(RefusedPart::HINT)),
        }
    }

    /// Return the error of a value that has another type than `wanted`.
    pub(super) fn wrong_type(&self, key: &str, wanted: &str, node: &ConfigNode) -> Error {
        node.place.error(format!(
            "`{key}`{} must be {wanted}, not {}",
            self.within(),
            node.kind()
        ))
    }

    /// Read a string, which must not be empty.
    pub(super) fn string(&self, key: &str) -> Result<Option<String>> {
        match self.text(key)? {
            Some(text) if text.trim().is_empty() => Err(self.error(key, "is empty")),
            text => Ok(text),
        }
    }

    /// Read a string, which may be empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        match &node.value {
            ConfigValue::String(text) | ConfigValue::Override(text) => Ok(Some(text.clone())),
            _ => Err(self.wrong_type(key, "a string", node)),
        }
    }

    /// Read a string that is required.
    pub(super) fn required(&self, key: &str, hint: &str) -> Result<String> {
        self.string(key)?.ok_or_else(|| self.missing(key, hint))
    }

    /// Return the error of a key that is missing.
    pub(super) fn missing(&self, key: &str, hint: &str) -> Error {
        self.place
            .error(format!("`{key}` is missing{}", self.within()))
            .hint(hint)
    }

    /// Read an integer.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let number = match &node.value {
            ConfigValue::Integer(number) => Some(*number),
            ConfigValue::Override(text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .map(Some)
            .ok_or_else(|| self.wrong_type(key, "an integer", node))
    }

    /// Read an integer from 1 to `max`.
    pub(super) fn positive(&self, key: &str, max: i64) -> Result<Option<i64>> {
        match self.integer(key)? {
            Some(number) if !(1..=max).contains(&number) => {
                Err(self.error(key, &format!("must be from 1 to {max}, not {number}")))
            }
            number => Ok(number),
        }
    }

    /// Read a boolean.
    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let flag = match &node.value {
            ConfigValue::Boolean(flag) => Some(*flag),
            ConfigValue::Override(text) => text.trim().parse().ok(),
            _ => None,
        };
        flag.map(Some)
            .ok_or_else(|| self.wrong_type(key, "true or false", node))
    }

    /// Read a name of the tz database; a missing key gives UTC.
    pub(super) fn timezone(&self, key: &str) -> Result<Tz> {
        let Some(name) = self.string(key)? else {
            return Ok(Tz::UTC);
        };
        name.parse().map_err(|_| {
            let names = TZ_VARIANTS.iter().map(|zone| zone.name());
            let error = self.error(key, &format!("cannot be `{name}`"));
            match suggest::closest(&name, names) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("use a name of the tz database, such as \"Europe/Berlin\""),
            }
        })
    }

    /// Read a date, which may be quoted.
    pub(super) fn date(&self, key: &str) -> Result<Option<NaiveDate>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let (ConfigValue::Date(text) | ConfigValue::String(text) | ConfigValue::Override(text)) =
            &node.value
        else {
            return Err(self.wrong_type(key, "a date", node));
        };
        match text.trim().parse() {
            Ok(date) => Ok(Some(date)),
            Err(_) => Err(self
                .error(key, &format!("cannot be `{text}`"))
                .hint("write a date, such as 2027-01-31")),
        }
    }

    /// Read a list of strings with their places.
    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<(String, &'a ConfigPlace)>>> {
        let Some(node) = self.get(key) else {
            return Ok(None);
        };
        let ConfigValue::List(items) = &node.value else {
            return Err(self.wrong_type(key, "a list of strings", node));
        };
        let item = |item: &'a ConfigNode| match &item.value {
            ConfigValue::String(text) => Ok((text.clone(), &item.place)),
            _ => Err(self.wrong_type(key, "a list of strings", item)),
        };
        items.iter().map(item).collect::<Result<_>>().map(Some)
    }

    /// Read a string that must be one of `words`, and return the value that belongs to it.
    pub(super) fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(word) = self.string(key)? else {
            return Ok(None);
        };
        match words.iter().find(|(known, _)| *known == word) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(self.not_one_of(key, &word, words)),
        }
    }

    /// Return the error of a string that is not one of `words`.
    pub(super) fn not_one_of<T>(&self, key: &str, word: &str, words: &[(&str, T)]) -> Error {
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        self.error(key, &format!("cannot be `{word}`"))
            .hint(suggest::hint(word, &known, "use one of"))
    }

    /// Open the table under `key`, whose keys must be among `known`.
    pub(super) fn section(&self, key: &str, known: &[&str]) -> Result<Option<Section<'a>>> {
        let name = self.child(key);
        self.get(key)
            .map(|node| Section::open(node, &name, known))
            .transpose()
    }

    /// Open the tables that are written as `[[key]]`, whose keys must be among `known`.
    pub(super) fn tables(&self, key: &str, known: &[&str]) -> Result<Vec<Section<'a>>> {
        let name = format!("[[{key}]]");
        let Some(node) = self.get(key) else {
            return Ok(Vec::new());
        };
        let ConfigValue::List(items) = &node.value else {
            return Err(self
                .wrong_type(key, "a list of tables", node)
                .hint(format!("write {name} above each table")));
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
