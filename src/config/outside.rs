//! `[[table]]` and `[org]`: data that Bitbucket does not have, brought by the user.

use std::path::PathBuf;

use super::keys;
use super::load::Relative;
use super::place::ConfigPlace;
use super::section::Section;
use crate::error::Result;
use crate::suggest;

/// One `[[table]]`: outside data in the place of a table of the lake, or beside its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideTable {
    pub layer: String,
    pub table: String,
    /// A path or `s3://…`, which may hold globs. A relative path is relative to the file.
    pub location: String,
    pub format: OutsideFormat,
    /// SQL over `external` that yields the table's columns; None when they are there already.
    pub query: Option<String>,
    /// The rows join those that bitlake makes, instead of standing in their place.
    pub add: bool,
    pub place: ConfigPlace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideFormat {
    Csv,
    Ndjson,
    Parquet,
}

impl OutsideFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }
}

/// CSV files with DevLake's headers. Relative paths are relative to the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgFiles {
    pub users: Option<PathBuf>,
    pub teams: Option<PathBuf>,
    pub user_account_mapping: Option<PathBuf>,
}

const LAYERS: [&str; 5] = ["config", "bitbucket", "domain", "dora", "metrics"];

pub(super) fn read_tables(
    root: &Section<'_>,
    relative: &Relative<'_>,
) -> Result<Vec<OutsideTable>> {
    let mut tables: Vec<OutsideTable> = Vec::new();
    for section in root.tables("table", &keys::TABLE.names())? {
        let table = outside_table(&section, relative)?;
        let earlier = tables
            .iter()
            .find(|t| !t.add && (&t.layer, &t.table) == (&table.layer, &table.table));
        if let (Some(earlier), false) = (earlier, table.add) {
            return Err(section
                .place_of("name")
                .error(format!(
                    "the table `{}.{}` is given twice",
                    table.layer, table.table
                ))
                .hint(format!(
                    "the other one is at {}; with `add = true` both count",
                    earlier.place
                )));
        }
        tables.push(table);
    }
    Ok(tables)
}

fn outside_table(section: &Section<'_>, relative: &Relative<'_>) -> Result<OutsideTable> {
    let hint = "add the table to fill, as in `name = \"domain.incidents\"`";
    let name = section.required("name", hint)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let (layer, table) = name
        .split_once('.')
        .filter(|(_, table)| !table.is_empty() && table.chars().all(plain))
        .ok_or_else(|| {
            section
                .error("name", &format!("cannot be `{name}`"))
                .hint("write layer.table, as in \"domain.incidents\"")
        })?;
    if !LAYERS.contains(&layer) {
        return Err(section
            .error("name", &format!("names the unknown layer `{layer}`"))
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
            .hint("only rows of domain, dora and metrics can be added to"));
    }
    let hint = "add the files' path or s3:// address";
    Ok(OutsideTable {
        layer: layer.to_owned(),
        table: table.to_owned(),
        location: relative.location(
            section.required("location", hint)?,
            section.place_of("location"),
        ),
        format: format
            .ok_or_else(|| section.missing("format", "use one of: csv, ndjson, parquet"))?,
        query: section.string("query")?,
        add,
        place: section.place().clone(),
    })
}

pub(super) fn read_org(root: &Section<'_>, relative: &Relative<'_>) -> Result<OrgFiles> {
    let Some(section) = root.section("org", &keys::ORG.names())? else {
        return Ok(OrgFiles::default());
    };
    let path = |key: &str| -> Result<Option<PathBuf>> {
        let text = section.string(key)?;
        Ok(text.map(|text| relative.location(text, section.place_of(key)).into()))
    };
    Ok(OrgFiles {
        users: path("users")?,
        teams: path("teams")?,
        user_account_mapping: path("user_account_mapping")?,
    })
}
