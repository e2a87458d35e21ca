//! One table's contract.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::parquet::basic::Compression;
use serde::Deserialize;

use super::HISTORY;
use super::types::{TypeText, Types, type_name};
use crate::error::{Error, ErrorKind, OrError, Result};

/// What a table of the layer `history` has beside its source table's columns.
pub const SEEN_AT: &str = "_seen_at";
pub const CONTENT: &str = "_content";

/// What a table promises. See the module's page.
#[derive(Debug, Clone)]
pub struct Contract {
    pub layer: String,
    pub table: String,
    pub version: u32,
    pub description: String,
    /// Also the order of rows in a file.
    pub primary_key: Vec<String>,
    pub partition: Option<Partition>,
    /// Column → expected distinct values per file: a constant, because a figure of the run would move the bytes.
    pub bloom: BTreeMap<String, u64>,
    /// `None`: that of every file which nobody configured.
    pub compression: Option<Compression>,
    pub columns: Vec<Column>,
    schema: SchemaRef,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// The contract's version in which it appeared.
    pub since: u32,
    pub unit: Option<String>,
    pub description: String,
}

impl Column {
    /// The type as the data dictionary writes it.
    pub fn type_name(&self) -> String {
        type_name(&self.data_type)
    }
}

/// How a table is cut into files: by the day, month or year (UTC) of an immutable time of the record, or by its repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// The name in the path: `created_month=2026-11`.
    pub key: String,
    pub by: PartitionBy,
    /// The column that decides: a timestamp, or a repository's id.
    pub column: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    Day,
    Month,
    Year,
    Repository,
}

impl PartitionBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
            Self::Repository => "repository",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContractText {
    description: String,
    version: u32,
    primary_key: Vec<String>,
    partition: Option<Partition>,
    #[serde(default)]
    bloom: BTreeMap<String, u64>,
    columns: Vec<ColumnText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnText {
    name: String,
    r#type: TypeText,
    #[serde(default = "yes")]
    nullable: bool,
    #[serde(default = "first")]
    since: u32,
    unit: Option<String>,
    #[serde(default)]
    description: String,
}

fn yes() -> bool {
    true
}

fn first() -> u32 {
    1
}

impl Contract {
    pub(super) fn parse(layer: &str, table: &str, text: &str, types: &Types) -> Result<Self> {
        let name = format!("{layer}.{table}");
        let text: ContractText = serde_json::from_str(text)
            .or_error(ErrorKind::Configuration, "cannot read the contract")
            .map_err(|error| error.with("table", &name))?;
        let columns = text
            .columns
            .into_iter()
            .map(|column| {
                Ok(Column {
                    data_type: types.resolve(&column.r#type)?,
                    name: column.name,
                    nullable: column.nullable,
                    since: column.since,
                    unit: column.unit,
                    description: column.description,
                })
            })
            .collect::<Result<Vec<_>>>()
            .map_err(|error| error.with("table", &name))?;
        let mut contract = Self::new(layer, table, columns, text.primary_key)?;
        contract.description = text.description;
        contract.version = text.version;
        contract.partition = text.partition;
        contract.bloom = text.bloom;
        let named = contract.partition.iter().map(|partition| &partition.column);
        for column in named.chain(contract.bloom.keys()) {
            contract.require_column(column)?;
        }
        contract
            .only_grew()
            .map_err(|error| error.with("table", name))?;
        Ok(contract)
    }

    /// A contract from columns alone, for a user's own table.
    pub fn new(
        layer: &str,
        table: &str,
        columns: Vec<Column>,
        primary_key: Vec<String>,
    ) -> Result<Self> {
        let contract = Self {
            layer: layer.to_owned(),
            table: table.to_owned(),
            version: 1,
            description: String::new(),
            primary_key,
            partition: None,
            bloom: BTreeMap::new(),
            compression: None,
            schema: arrow_schema(&columns),
            columns,
        };
        for column in &contract.primary_key {
            if contract.require_column(column)?.nullable {
                return Err(
                    Error::new(ErrorKind::Configuration, "a key column is nullable")
                        .with("table", contract.name())
                        .with("column", column),
                );
            }
        }
        Ok(contract)
    }

    /// A contract with these columns, all nullable, and without a key.
    ///
    /// # Errors
    /// As [`Contract::new`].
    pub fn of_fields(layer: &str, table: &str, fields: &Fields) -> Result<Self> {
        let columns = fields.iter().map(|field| Column {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            nullable: true,
            since: 1,
            unit: None,
            description: String::new(),
        });
        Self::new(layer, table, columns.collect(), Vec::new())
    }

    /// Loaders add columns behind those they have, and leave them null in rows that were loaded before.
    fn only_grew(&self) -> Result<()> {
        let wrong = |column: &Column, what: &str| {
            Err(Error::new(ErrorKind::Configuration, what).with("column", &column.name))
        };
        let mut version = 1;
        for column in &self.columns {
            if column.since < version || column.since > self.version {
                return wrong(column, "a column is not in the order of versions");
            }
            if column.since > 1 && !column.nullable {
                return wrong(column, "a column that was added later must be nullable");
            }
            version = column.since;
        }
        Ok(())
    }

    /// The same promise for a table of that name in another layer.
    pub fn in_layer(&self, layer: &str) -> Self {
        Self {
            layer: layer.to_owned(),
            ..self.clone()
        }
    }

    /// The contract of every version of this source table's rows.
    pub(super) fn history(&self) -> Result<Self> {
        let named = |name: &str, data_type: DataType, description: &str| Column {
            since: 1,
            name: name.to_owned(),
            data_type,
            nullable: false,
            unit: None,
            description: description.to_owned(),
        };
        // In front, so that a column which the source table gains is the last here as well.
        let mut columns = vec![
            named(
                SEEN_AT,
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                "Start of the run that collected this version first.",
            ),
            named(CONTENT, DataType::Utf8, "sha256 of _payload."),
        ];
        columns.extend(self.columns.iter().cloned());
        let key = [SEEN_AT.to_owned()];
        let key = self.primary_key.iter().cloned().chain(key).collect();
        let mut history = Self::new(HISTORY, &self.table, columns, key)?;
        history.description = format!(
            "Every version of each row of {}, with `keep_history = true`.",
            self.name()
        );
        history.version = self.version;
        history.partition = Some(Partition {
            key: "seen_month".to_owned(),
            by: PartitionBy::Month,
            column: SEEN_AT.to_owned(),
        });
        Ok(history)
    }

    /// The columns alone, all of them nullable: for rows on their way to becoming the table's.
    pub fn relaxed(&self) -> Self {
        let mut relaxed = Self {
            primary_key: Vec::new(),
            partition: None,
            bloom: BTreeMap::new(),
            ..self.clone()
        };
        for column in &mut relaxed.columns {
            column.nullable = true;
        }
        relaxed.schema = arrow_schema(&relaxed.columns);
        relaxed
    }

    /// `layer.table`, the name in SQL.
    pub fn name(&self) -> String {
        format!("{}.{}", self.layer, self.table)
    }

    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn require_column(&self, name: &str) -> Result<&Column> {
        self.column(name).ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "the contract names a column it does not have",
            )
            .with("table", self.name())
            .with("column", name)
        })
    }
}

fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
