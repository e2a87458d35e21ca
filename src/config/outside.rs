//! Reads `[[table]]` and `[org]`: data that the user provides because Bitbucket does not have it.

use std::path::PathBuf;

use super::keys;
use super::paths::BasePath;
use super::place::ConfigPlace;
use super::section::Section;
use super::store::AddressUse;
use crate::error::Result;
use crate::suggest;

/// One `[[table]]`: outside data that replaces a table of the lake, or adds rows to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideTable {
    /// The layer of the table.
    pub layer: String,
    /// The name of the table.
    pub table: String,
    /// A path or a URL of a bucket, which may contain globs.
    pub location: String,
    /// The format of the files.
    pub format: OutsideFormat,
    /// SQL that selects the table's columns from `external`; `None` if the files have these columns.
    pub query: Option<String>,
    /// Whether the rows are added to the table instead of replacing it.
    pub add: bool,
    /// The line of the table's header.
    pub place: ConfigPlace,
}

/// The format of outside files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideFormat {
    /// CSV with a header.
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// Parquet.
    Parquet,
}

impl OutsideFormat {
    /// Return the value as the file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }
}

/// `[org]`: CSV files with DevLake's headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgFiles {
    /// The file that lists people.
    pub users: Option<PathBuf>,
    /// The file that lists teams.
    pub teams: Option<PathBuf>,
    /// The file that maps people to Bitbucket accounts.
    pub user_account_mapping: Option<PathBuf>,
}

const LAYERS: [&str; 5] = ["config", "bitbucket", "domain", "dora", "metrics"];

pub(super) fn read_tables(root: &Section<'_>, base: &BasePath<'_>) -> Result<Vec<OutsideTable>> {
    let mut tables: Vec<OutsideTable> = Vec::new();
    for section in root.tables("table", &keys::TABLE.names())? {
        let table = read_table(&section, base)?;
        let earlier = tables
            .iter()
            .find(|t| !t.add && (&t.layer, &t.table) == (&table.layer, &table.table));
        if let (Some(earlier), false) = (earlier, table.add) {
            return Err(section
                .place_of("name")
                .error(format!(
                    "two [[table]] replace the table `{}.{}`",
                    table.layer, table.table
                ))
                .hint(format!(
                    "remove one of them, or set `add = true`; the other is at {}",
                    earlier.place
                )));
        }
        tables.push(table);
    }
    Ok(tables)
}

fn read_table(section: &Section<'_>, base: &BasePath<'_>) -> Result<OutsideTable> {
    let hint = "add the table's name, such as `name = \"domain.incidents\"`";
    let name = section.required("name", hint)?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let (layer, table) = name
        .split_once('.')
        .filter(|(_, table)| !table.is_empty() && table.chars().all(is_name))
        .ok_or_else(|| {
            section
                .error("name", &format!("cannot be `{name}`"))
                .hint("write layer.table, such as \"domain.incidents\"")
        })?;
    if !LAYERS.contains(&layer) {
        return Err(section
            .error("name", &format!("names an unknown layer, `{layer}`"))
            .hint(suggest::hint(layer, &LAYERS, "use one of")));
    }
    let formats = [
        OutsideFormat::Csv,
        OutsideFormat::Ndjson,
        OutsideFormat::Parquet,
    ];
    let format = section.one_of("format", &formats.map(|format| (format.as_str(), format)))?;
    let add = section.boolean("add")?.unwrap_or_default();
    if add && ["config", "bitbucket"].contains(&layer) {
        return Err(section
            .error("add", &format!("is not possible for `{name}`"))
            .hint("rows can be added to tables of domain, dora and metrics only"));
    }
    let hint = "add the path or the URL of the files, as in `s3://bucket/incidents/*.csv`";
    let location = section.required("location", hint)?;
    section.check_address("location", &location, AddressUse::Table)?;
    Ok(OutsideTable {
        layer: layer.to_owned(),
        table: table.to_owned(),
        location: base.resolve(location, section.place_of("location")),
        format: format
            .ok_or_else(|| section.missing("format", "use one of: csv, ndjson, parquet"))?,
        query: section.string("query")?,
        add,
        place: section.place().clone(),
    })
}

pub(super) fn read_org(root: &Section<'_>, base: &BasePath<'_>) -> Result<OrgFiles> {
    let Some(section) = root.section("org", &keys::ORG.names())? else {
        return Ok(OrgFiles::default());
    };
    let path = |key: &str| -> Result<Option<PathBuf>> {
        let text = section.string(key)?;
        Ok(text.map(|text| base.resolve(text, section.place_of(key)).into()))
    };
    Ok(OrgFiles {
        users: path("users")?,
        teams: path("teams")?,
        user_account_mapping: path("user_account_mapping")?,
    })
}
