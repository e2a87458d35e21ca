//! External tables on Athena, which read the lake's own files. A load only adds and drops partitions.

use std::collections::BTreeSet;

use super::bigquery::backslash_literal;
use super::create::{create_schemas, description};
use super::databricks::SPARK_TYPES;
use super::script::{DdlScript, DdlTable};
use super::syntax::{ScalarTypes, SqlDialect, SqlSyntax, join_fields, scheme};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contract;

/// Longest description of a column that the catalog stores, in bytes.
const MAX_COMMENT_BYTES: usize = 255;
/// The most partitions that one statement adds or drops.
const PARTITIONS_PER_STATEMENT: usize = 100;

/// The dialect of Athena, which is Hive's.
pub(super) struct Athena;

impl SqlDialect for Athena {
    fn scalar_types(&self) -> ScalarTypes {
        SPARK_TYPES
    }

    fn list_type(&self, item: &str) -> String {
        format!("ARRAY<{item}>")
    }

    fn struct_type(&self, fields: &[(String, String)]) -> String {
        format!("STRUCT<{}>", join_fields(fields, ": "))
    }

    /// Hive does not accept a name that starts with an underscore without quotes; every name is quoted.
    fn is_reserved(&self, _name: &str) -> bool {
        true
    }

    fn quote(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn literal(&self, text: &str) -> String {
        backslash_literal(text)
    }

    fn can_read(&self, location: &str) -> bool {
        scheme(location) == Some("s3")
    }

    fn example_location(&self) -> &'static str {
        "s3://bucket/lake"
    }

    fn instructions(&self) -> &'static [&'static str] {
        &["External tables over the lake, which copy no rows. Athena runs one statement at a time."]
    }
}

pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let Some(location) = script.location else {
        return Err(Error::new(
            ErrorKind::Usage,
            "an external table needs the address of the lake",
        )
        .hint("--location s3://bucket/lake"));
    };
    let created = tables.iter().filter(|it| it.loaded.is_none());
    let mut statements = create_schemas(syntax, created.map(|it| it.contract));
    for table in tables {
        statements.extend(table_statements(syntax, table, location)?);
    }
    for (layer, table) in &script.gone {
        statements.push(format!(
            "DROP TABLE IF EXISTS {}",
            syntax.table(layer, table)
        ));
    }
    Ok(statements)
}

fn table_statements(
    syntax: &SqlSyntax<'_>,
    table: &DdlTable<'_>,
    location: &str,
) -> Result<Vec<String>> {
    let name = syntax.table(&table.contract.layer, &table.contract.table);
    let keys = partition_keys(table.contract, &table.files);
    let folders = partition_folders(&table.files);
    let mut statements = Vec::new();
    let loaded = match &table.loaded {
        Some(loaded)
            if partition_keys(table.contract, &loaded.files) == keys
                && table.added_columns().is_empty() =>
        {
            partition_folders(&loaded.files)
        }
        // The partition keys or the columns differ. A new external table copies nothing.
        _ => {
            statements.push(format!("DROP TABLE IF EXISTS {name}"));
            statements.push(create_table(syntax, table.contract, &keys, location)?);
            BTreeSet::new()
        }
    };
    if keys.is_empty() {
        return Ok(statements);
    }
    let removed: Vec<_> = loaded.difference(&folders).collect();
    for folders in removed.chunks(PARTITIONS_PER_STATEMENT) {
        let partitions: Vec<_> = folders
            .iter()
            .map(|folder| partition_clause(syntax, folder))
            .collect();
        let partitions = partitions.join(",\n    ");
        statements.push(format!(
            "ALTER TABLE {name} DROP IF EXISTS\n    {partitions}"
        ));
    }
    let added: Vec<_> = folders.difference(&loaded).collect();
    for folders in added.chunks(PARTITIONS_PER_STATEMENT) {
        let partitions: Vec<_> = folders
            .iter()
            .map(|folder| {
                let location = syntax.text(&format!("{location}/{folder}/"));
                format!("{} LOCATION {location}", partition_clause(syntax, folder))
            })
            .collect();
        let partitions = partitions.join("\n    ");
        statements.push(format!(
            "ALTER TABLE {name} ADD IF NOT EXISTS\n    {partitions}"
        ));
    }
    Ok(statements)
}

/// Return the partition keys of a table: those of its files, or the contract's if it has no files.
fn partition_keys(contract: &Contract, files: &BTreeSet<&str>) -> Vec<String> {
    match files.first() {
        Some(file) => partition_values(file)
            .map(|(key, _)| key.to_owned())
            .collect(),
        None => contract.partition.iter().map(|it| it.key.clone()).collect(),
    }
}

/// Return the folders of files.
fn partition_folders<'a>(files: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let folders = files.iter().filter_map(|file| file.rsplit_once('/'));
    folders.map(|(folder, _)| folder).collect()
}

/// Return the `key=value` folders of a path, in their order and as they are spelled.
fn partition_values(path: &str) -> impl Iterator<Item = (&str, &str)> {
    path.split('/').filter_map(|part| part.split_once('='))
}

fn partition_clause(syntax: &SqlSyntax<'_>, folder: &str) -> String {
    let values: Vec<_> = partition_values(folder)
        .map(|(key, value)| format!("{} = {}", syntax.name(key), syntax.text(&decode(value))))
        .collect();
    format!("PARTITION ({})", values.join(", "))
}

/// Decode the percent-encoding of a folder's value.
fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut encoded = value.as_bytes();
    while let [first, tail @ ..] = encoded {
        let decoded = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex_byte(*high, *low).map(|byte| (byte, after)),
            _ => None,
        };
        let (byte, after) = decoded.unwrap_or((*first, tail));
        bytes.push(byte);
        encoded = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digits = [high, low];
    let digits = std::str::from_utf8(&digits).ok()?;
    u8::from_str_radix(digits, 16).ok()
}

fn create_table(
    syntax: &SqlSyntax<'_>,
    contract: &Contract,
    keys: &[String],
    location: &str,
) -> Result<String> {
    let columns = contract.columns.iter().map(|column| {
        Ok(format!(
            "{} {} COMMENT {}",
            syntax.name(&column.name),
            syntax.type_of(&column.data_type)?,
            syntax.text(shorten_comment(&description(column)))
        ))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?.join(",\n    ");
    let keys: Vec<_> = keys
        .iter()
        .map(|key| format!("{} STRING", syntax.name(key)))
        .collect();
    let partitioned = if keys.is_empty() {
        String::new()
    } else {
        format!("PARTITIONED BY ({})\n", keys.join(", "))
    };
    let Contract { layer, table, .. } = contract;
    Ok(format!(
        "CREATE EXTERNAL TABLE {} (\n    {columns}\n)\nCOMMENT {}\n{partitioned}STORED AS PARQUET\nLOCATION {}",
        syntax.table(layer, table),
        syntax.text(&contract.description),
        syntax.text(&format!("{location}/{layer}/{table}/"))
    ))
}

/// Cut a description after a whole character, to the number of bytes that the catalog stores.
fn shorten_comment(text: &str) -> &str {
    let end = text.floor_char_boundary(MAX_COMMENT_BYTES);
    text.get(..end).unwrap_or(text)
}
