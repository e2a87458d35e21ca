//! `[lake]`'s keys on how files are cut and compressed. Which tables and columns there are is not known here: what is
//! read is checked against the contracts before a run begins.

use datafusion::parquet::basic::{Compression, ZstdLevel};

use super::keys;
use super::place::ConfigPlace;
use super::section::Section;
use crate::error::Result;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLayout {
    /// `None`: zstd at bitlake's level.
    pub compression: Option<Compression>,
    /// For every table that can be cut so; `None`: as the contracts say.
    pub partition: Option<PartitionUnit>,
    /// What `[lake.tables]` says, which goes before `partition`.
    pub tables: Vec<TableLayout>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLayout {
    /// `layer.table`.
    pub name: String,
    pub partition: PartitionUnit,
    /// `None`: the contract's own.
    pub column: Option<String>,
    pub place: ConfigPlace,
}

/// What makes one file of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionUnit {
    Day,
    Month,
    Year,
    Repository,
    /// The whole table.
    None,
}

const CUTS: [(&str, PartitionUnit); 5] = [
    ("month", PartitionUnit::Month),
    ("day", PartitionUnit::Day),
    ("year", PartitionUnit::Year),
    ("repository", PartitionUnit::Repository),
    ("none", PartitionUnit::None),
];

pub(super) fn read(lake: &Section<'_>) -> Result<FileLayout> {
    let mut tables = Vec::new();
    if let Some(node) = lake.get("tables") {
        for (name, node) in Section::open_any(node, "[lake.tables]")?.entries() {
            if !name.contains('.') {
                return Err(node
                    .place
                    .error(format!("`{name}` in [lake.tables] is no table"))
                    .hint("write layer.table in quotes, as in `\"domain.commits\" = { partition = \"year\" }`"));
            }
            let title = format!("[lake.tables.\"{name}\"]");
            let table = Section::open(node, &title, &keys::LAKE_TABLE.names())?;
            let hint = "use one of: month, day, year, repository, none";
            tables.push(TableLayout {
                name: name.to_owned(),
                partition: table
                    .one_of("partition", &CUTS)?
                    .ok_or_else(|| table.missing("partition", hint))?,
                column: table.string("column")?,
                place: node.place.clone(),
            });
        }
    }
    Ok(FileLayout {
        compression: compression(lake)?,
        partition: lake.one_of("partition", &CUTS)?,
        tables,
    })
}

fn compression(lake: &Section<'_>) -> Result<Option<Compression>> {
    let key = "compression_level";
    let words = [
        ("zstd", None),
        ("snappy", Some(Compression::SNAPPY)),
        ("none", Some(Compression::UNCOMPRESSED)),
    ];
    let given = lake.one_of("compression", &words)?.flatten();
    let Some(level) = lake.positive(key, 22)? else {
        return Ok(given);
    };
    if given.is_some() {
        return Err(lake.error(key, "is for zstd only"));
    }
    let level = i32::try_from(level).ok().map(ZstdLevel::try_new);
    Ok(level
        .and_then(std::result::Result::ok)
        .map(Compression::ZSTD))
}
