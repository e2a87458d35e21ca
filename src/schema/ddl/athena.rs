//! External tables on Athena: the lake's own files, so that a load is a list of partitions.

use std::collections::BTreeSet;

use super::create::description;
use super::syntax::{SqlSyntax, partition};
use super::{DdlScript, DdlTable};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contract;

/// Bytes of a column's description that the catalogue keeps.
const COMMENT_BYTES: usize = 255;
/// Partitions that one statement adds or drops.
const PARTITIONS: usize = 100;

pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let Some(location) = script.location else {
        return Err(Error::new(
            ErrorKind::Usage,
            "an external table needs to know where the lake is",
        )
        .hint("--location s3://bucket/lake"));
    };
    let created = tables.iter().filter(|it| it.loaded.is_none());
    let layers: BTreeSet<_> = created.map(|it| &it.contract.layer).collect();
    let mut statements: Vec<_> = layers
        .iter()
        .map(|layer| format!("CREATE SCHEMA IF NOT EXISTS {}", syntax.schema(layer)))
        .collect();
    for table in tables {
        let name = syntax.table(&table.contract.layer, &table.contract.table);
        let keys = keys(table.contract, &table.files);
        let now = folders(&table.files);
        let before = match &table.loaded {
            // Other keys, or columns of its own: the table is made anew, which costs nothing.
            Some(loaded)
                if self::keys(table.contract, &loaded.files) == keys
                    && table.added_columns().is_empty() =>
            {
                folders(&loaded.files)
            }
            _ => {
                statements.push(format!("DROP TABLE IF EXISTS {name}"));
                statements.push(create(syntax, table.contract, &keys, location)?);
                BTreeSet::new()
            }
        };
        if keys.is_empty() {
            continue;
        }
        let gone: Vec<_> = before.difference(&now).collect();
        for folders in gone.chunks(PARTITIONS) {
            let specs: Vec<_> = folders.iter().map(|folder| spec(syntax, folder)).collect();
            let specs = specs.join(",\n    ");
            statements.push(format!("ALTER TABLE {name} DROP IF EXISTS\n    {specs}"));
        }
        let new: Vec<_> = now.difference(&before).collect();
        for folders in new.chunks(PARTITIONS) {
            let specs: Vec<_> = folders
                .iter()
                .map(|folder| {
                    let location = syntax.text(&format!("{location}/{folder}/"));
                    format!("{} LOCATION {location}", spec(syntax, folder))
                })
                .collect();
            let specs = specs.join("\n    ");
            statements.push(format!("ALTER TABLE {name} ADD IF NOT EXISTS\n    {specs}"));
        }
    }
    for (layer, table) in &script.gone {
        statements.push(format!(
            "DROP TABLE IF EXISTS {}",
            syntax.table(layer, table)
        ));
    }
    Ok(statements)
}

/// The names of a table's partition keys: those of its files, or the contract's while it has none.
fn keys(contract: &Contract, files: &BTreeSet<&str>) -> Vec<String> {
    match files.first() {
        Some(file) => partition(file)
            .iter()
            .map(|(key, _)| (*key).to_owned())
            .collect(),
        None => contract.partition.iter().map(|it| it.key.clone()).collect(),
    }
}

fn folders<'a>(files: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let folders = files.iter().filter_map(|file| file.rsplit_once('/'));
    folders.map(|(folder, _)| folder).collect()
}

fn spec(syntax: &SqlSyntax<'_>, folder: &str) -> String {
    let values: Vec<_> = partition(folder)
        .iter()
        .map(|(key, value)| format!("{} = {}", syntax.name(key), syntax.text(&decoded(value))))
        .collect();
    format!("PARTITION ({})", values.join(", "))
}

/// A folder's value without its percent-encoding.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = &tail[if code.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn create(
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
            syntax.text(shortened(&description(column)))
        ))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?.join(",\n    ");
    let keys: Vec<_> = keys
        .iter()
        .map(|key| format!("{} STRING", syntax.name(key)))
        .collect();
    let partitioned = match keys.is_empty() {
        true => String::new(),
        false => format!("PARTITIONED BY ({})\n", keys.join(", ")),
    };
    let Contract { layer, table, .. } = contract;
    Ok(format!(
        "CREATE EXTERNAL TABLE {} (\n    {columns}\n)\nCOMMENT {}\n{partitioned}STORED AS PARQUET\nLOCATION {}",
        syntax.table(layer, table),
        syntax.text(&contract.description),
        syntax.text(&format!("{location}/{layer}/{table}/"))
    ))
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(COMMENT_BYTES)]
}
