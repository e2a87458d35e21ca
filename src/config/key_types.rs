//! The description of a configuration key: its values, and its default.
//!
//! The reference prints both as Markdown, and the JSON Schema checks them.

/// The keys of one table of the file.
#[derive(Debug)]
pub struct KeyTable {
    /// As the file writes it: `[lake]`, `[[connection]]`, `[rules.NAME]`.
    pub title: &'static str,
    /// Describes the table in one or two sentences of Markdown.
    pub description: &'static str,
    /// Which keys depend on each other.
    pub rule: TableRule,
    /// The keys in the order of the reference.
    pub keys: &'static [ConfigKey],
}

/// One key of a table.
#[derive(Debug)]
pub struct ConfigKey {
    /// The key's name.
    pub name: &'static str,
    /// The values that it takes.
    pub values: KeyValues,
    /// The behaviour when the key is missing.
    pub default: KeyDefault,
    /// The key's effect, in Markdown.
    pub description: &'static str,
}

/// The dependencies between the keys of a table.
#[derive(Debug)]
pub enum TableRule {
    /// The keys are independent.
    None,
    /// Exactly one of these keys is required.
    ExactlyOne(&'static [&'static str]),
    /// At least one of these keys is required.
    AtLeastOne(&'static [&'static str]),
    /// The value of `auth` decides which keys are required and which are refused.
    KeysOfAuth,
}

/// The values that a key takes. The text `shown` of a variant describes them in Markdown.
#[derive(Debug)]
pub enum KeyValues {
    /// `true` or `false`.
    Boolean,
    /// An integer from 1 to this maximum.
    Integer(i64),
    /// A date, which may be quoted.
    Date,
    /// A name of the tz database.
    Timezone,
    /// A string that is not blank: `shown`.
    Text(&'static str),
    /// A string that may be empty: `shown`.
    AnyText(&'static str),
    /// A string: `shown`, and a regular expression that it matches.
    Matching(&'static str, &'static str),
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of these words, in capital or small letters.
    AnyCase(&'static [&'static str]),
    /// A list: the name of its items (empty for the values of one item), and an item.
    List(&'static str, &'static KeyValues),
    /// A list of at least one item: the name of its items, and an item.
    NonEmptyList(&'static str, &'static KeyValues),
    /// A table of strings with keys that the user chooses: the name of the strings.
    TextsByName(&'static str),
    /// The place of a secret: an environment variable or a file.
    Credential,
    /// The place of a secret, or a list of such places.
    Credentials,
    /// A table with the keys of all of these tables.
    Table(&'static [&'static KeyTable]),
    /// A list of tables.
    Tables(&'static KeyTable),
    /// A table of tables with keys that the user chooses, and a regular expression that these keys match.
    TablesByName(&'static KeyTable, &'static str),
}

/// The behaviour when a key is missing.
#[derive(Debug)]
pub enum KeyDefault {
    /// A missing key is an error.
    Required,
    /// A missing key is an error for these values of `auth`.
    RequiredFor(&'static [&'static str]),
    /// This value applies, as TOML writes it. The quotes of a single word may be left out.
    Value(&'static str),
    /// A list of these words applies.
    Values(&'static [&'static str]),
    /// The Markdown text describes the default; empty if there is nothing to describe.
    Note(&'static str),
}

impl KeyTable {
    /// Return the names of the keys.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

impl KeyValues {
    /// Return the column `values` of the reference.
    pub fn markdown(&self) -> String {
        match self {
            Self::Boolean => "boolean".to_owned(),
            Self::Integer(max) if *max >= i64::from(i32::MAX) => "integer from 1".to_owned(),
            Self::Integer(max) => format!("integer from 1 to {max}"),
            Self::Date => "date".to_owned(),
            Self::Timezone => "name of the tz database".to_owned(),
            Self::Text(shown) | Self::AnyText(shown) | Self::Matching(shown, _) => {
                (*shown).to_owned()
            }
            Self::Words(words) | Self::AnyCase(words) => code(words),
            Self::List("", item) => format!("list of {}", item.markdown()),
            Self::List(of, _) | Self::NonEmptyList(of, _) => format!("list of {of}"),
            Self::TextsByName(of) => format!("table of {of}"),
            Self::Credential => "credential".to_owned(),
            Self::Credentials => "credential, or a list of them".to_owned(),
            Self::Table(_) => "table".to_owned(),
            Self::Tables(_) => "list of tables".to_owned(),
            Self::TablesByName(..) => "table of tables".to_owned(),
        }
    }
}

impl KeyDefault {
    /// Return the column `default` of the reference.
    pub fn markdown(&self) -> String {
        match self {
            Self::Required => "required".to_owned(),
            Self::RequiredFor(kinds) => {
                let kinds: Vec<String> = kinds.iter().map(|kind| code(&[kind])).collect();
                format!("required for {}", kinds.join(" and "))
            }
            Self::Value(value) => code(&[value]),
            Self::Values(words) => code(words),
            Self::Note(note) => (*note).to_owned(),
        }
    }
}

/// Mark words as code, for the cell of a table.
fn code(words: &[&str]) -> String {
    let words = words
        .iter()
        .map(|word| format!("`{}`", word.replace('|', "\\|")));
    words.collect::<Vec<_>>().join(", ")
}
