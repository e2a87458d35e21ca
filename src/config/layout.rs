//! Reads the keys of `[lake]` that say how files are partitioned and compressed.
//!
//! This module does not know the tables and their columns: every command that writes checks the layout against the
//! contracts before it starts.

use datafusion::parquet::basic::{Compression, ZstdLevel};

use super::keys;
use super::place::ConfigPlace;
use super::section::Section;
use crate::error::Result;

/// How files are partitioned and compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLayout {
    /// The codec; `None` for zstd at the default level.
    pub compression: Option<Compression>,
    /// The unit for every table that allows it; `None` for the unit of each table's contract.
    pub partition: Option<PartitionUnit>,
    /// The entries of `[lake.tables]`, which take precedence over `partition`.
    pub tables: Vec<TableLayout>,
}

/// One entry of `[lake.tables]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLayout {
    /// The table, as `layer.table`.
    pub name: String,
    /// The unit of the table's partitions.
    pub partition: PartitionUnit,
    /// The column to partition by; `None` for the column of the contract.
    pub column: Option<String>,
    /// The line of the entry.
    pub place: ConfigPlace,
}

/// The part of a table that makes one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionUnit {
    /// The rows of one day.
    Day,
    /// The rows of one month.
    Month,
    /// The rows of one year.
    Year,
    /// The rows of one repository.
    Repository,
    /// All rows of the table.
    None,
}

const UNITS: [(&str, PartitionUnit); 5] = [
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
                    .error(format!("`{name}` in [lake.tables] does not name a table"))
                    .hint("write layer.table in quotes, such as `\"domain.commits\" = { partition = \"year\" }`"));
            }
            let title = format!("[lake.tables.\"{name}\"]");
            let table = Section::open(node, &title, &keys::LAKE_TABLE.names())?;
            let hint = "use one of: month, day, year, repository, none";
            tables.push(TableLayout {
                name: name.to_owned(),
                partition: table
                    .one_of("partition", &UNITS)?
                    .ok_or_else(|| table.missing("partition", hint))?,
                column: table.string("column")?,
                place: node.place.clone(),
            });
        }
    }
    Ok(FileLayout {
        compression: read_compression(lake)?,
        partition: lake.one_of("partition", &UNITS)?,
        tables,
    })
}

fn read_compression(lake: &Section<'_>) -> Result<Option<Compression>> {
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
        return Err(lake.error(key, "applies to zstd only"));
    }
    let level = i32::try_from(level).ok().map(ZstdLevel::try_new);
    Ok(level
        .and_then(std::result::Result::ok)
        .map(Compression::ZSTD))
}
