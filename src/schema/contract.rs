//! The contract of a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::parquet::basic::Compression;
use serde::Deserialize;

use super::layers::HISTORY;
use super::types::{TypeText, Types, type_name};
use crate::error::{Error, ErrorKind, OrError, Result};

/// The column of a history table with the start of the run that first collected a version of a record.
pub const SEEN_AT: &str = "_seen_at";
/// The column of a history table with the digest of a version's content.
pub const CONTENT: &str = "_content";

/// The contract of a table. See the documentation of [`crate::schema`].
#[derive(Debug, Clone)]
pub struct Contract {
    /// The layer, which is the SQL schema.
    pub layer: String,
    /// The name of the table within the layer.
    pub table: String,
    /// Incremented when a column is added.
    pub version: u32,
    /// The description of the table.
    pub description: String,
    /// The columns of the unique key. Rows of a file are sorted by them.
    pub primary_key: Vec<String>,
    /// The partition of the table's files; `None` for a single file.
    pub partition: Option<Partition>,
    /// The columns with a bloom filter, and the distinct values expected per file. The number is constant, because one
    /// derived from the data would change the bytes of files.
    pub bloom: BTreeMap<String, u64>,
    /// The configured compression; `None` for the default.
    pub compression: Option<Compression>,
    /// Whether only the run that writes the files reads them. They are cheap to write and to read, and removed with the run.
    pub is_temporary: bool,
    /// Whether the rows of a file may be in any order.
    pub is_unordered: bool,
    /// The columns, in the order of the files.
    pub columns: Vec<Column>,
    schema: SchemaRef,
}

/// A column of a contract.
#[derive(Debug, Clone)]
pub struct Column {
    /// The name of the column.
    pub name: String,
    /// The Arrow type.
    pub data_type: DataType,
    /// Whether nulls are allowed.
    pub nullable: bool,
    /// The version of the contract that added the column.
    pub since: u32,
    /// The unit of a number, such as `seconds`.
    pub unit: Option<String>,
    /// The description of the column.
    pub description: String,
}

impl Column {
    /// Return the type as the data dictionary spells it.
    #[must_use]
    pub fn type_name(&self) -> String {
        type_name(&self.data_type)
    }
}

/// The partition of a table's files: by the day, month or year (UTC) of an immutable time of the record, or by repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// The key in the path: `created_month` of `created_month=2026-11`.
    pub key: String,
    /// The unit of the partition.
    pub by: PartitionBy,
    /// The column that determines the partition: a timestamp, or a repository's id.
    pub column: String,
}

/// The unit of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    /// One partition per day (UTC).
    Day,
    /// One partition per month (UTC).
    Month,
    /// One partition per year (UTC).
    Year,
    /// One partition per repository.
    Repository,
}

impl PartitionBy {
    /// The name of the unit, as the configuration spells it.
    #[must_use]
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
    /// Return everything that the bytes of the table's files depend on beside its rows, as a text to compare.
    #[must_use]
    pub fn file_format(&self) -> String {
        let mut lines = vec![format!("key {}", self.primary_key.join(" "))];
        if let Some(Partition { key, by, column }) = &self.partition {
            lines.push(format!("partition {key} {} {column}", by.as_str()));
        }
        if let Some(compression) = self.compression {
            lines.push(format!("compression {compression}"));
        }
        let bloom = self.bloom.iter();
        lines.extend(bloom.map(|(column, distinct)| format!("bloom {column} {distinct}")));
        lines.extend(self.columns.iter().map(|column| {
            let null = if column.nullable { " null" } else { "" };
            format!("column {} {}{null}", column.name, column.type_name())
        }));
        lines.join("\n")
    }

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
            .check_versions()
            .map_err(|error| error.with("table", name))?;
        Ok(contract)
    }

    /// Create a contract of version 1 from columns.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a key column is missing or nullable.
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
            is_temporary: false,
            is_unordered: false,
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

    /// Create a contract with these columns, all nullable, and without a key.
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

    /// Check that later columns are last and nullable: loaders append columns, and leave them null in rows loaded before.
    fn check_versions(&self) -> Result<()> {
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

    /// Return the contract of a table with the same name and columns in another layer.
    #[must_use]
    pub fn in_layer(&self, layer: &str) -> Self {
        self.renamed(layer, &self.table)
    }

    /// Return the contract of another table with the same columns.
    #[must_use]
    pub fn renamed(&self, layer: &str, table: &str) -> Self {
        Self {
            layer: layer.to_owned(),
            table: table.to_owned(),
            ..self.clone()
        }
    }

    /// Return the contract of files with the same rows that only this run reads.
    #[must_use]
    pub fn temporary(&self) -> Self {
        Self {
            is_temporary: true,
            ..self.clone()
        }
    }

    /// Return the contract of the history table, which has every version of this source table's rows.
    pub(super) fn history(&self) -> Result<Self> {
        let named = |name: &str, data_type: DataType, description: &str| Column {
            since: 1,
            name: name.to_owned(),
            data_type,
            nullable: false,
            unit: None,
            description: description.to_owned(),
        };
        // Before the source table's columns, so that a column added there is appended here too.
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

    /// Return the contract without key, partition and bloom filters and with nullable columns, for intermediate rows.
    #[must_use]
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

    /// Return the name in SQL: `layer.table`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.layer, self.table)
    }

    /// Return the Arrow schema of the table's batches.
    #[must_use]
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Return the column of that name, if there is one.
    #[must_use]
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
