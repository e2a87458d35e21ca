//! Plans the `query` of a `[[table]]`.

use std::collections::BTreeSet;

use datafusion::dataframe::DataFrame;

use super::external::{External, NAME};
use crate::config::{OutsideFormat, OutsideTable};
use crate::engine::{Engine, missing_column};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contract;

/// Columns of every DevLake table that no contract has. A DevLake export may contain them.
const BOOKKEEPING: [&str; 6] = [
    "created_at",
    "updated_at",
    "_raw_data_params",
    "_raw_data_table",
    "_raw_data_id",
    "_raw_data_remark",
];

/// Plan the query. Also return the columns that it names and the files lack, which are null: columns of the contract;
/// any column of NDJSON, which omits keys without a value; and any column of files without rows.
///
/// # Errors
/// [`ErrorKind::Configuration`] for another unknown column, or SQL that cannot be planned.
pub(super) async fn plan(
    engine: &Engine,
    given: &OutsideTable,
    external: &External,
    contract: &Contract,
) -> Result<(DataFrame, BTreeSet<String>)> {
    let query = match &given.query {
        Some(query) => format!("SELECT * FROM ({query}) AS mapped"),
        None => format!("SELECT * FROM {NAME}"),
    };
    let may_lack = |column: &str| {
        external.rows == Some(0)
            || given.format == OutsideFormat::Ndjson
            || contract.column(column).is_some()
    };
    let mut missing_columns = BTreeSet::new();
    loop {
        let sql = external.with_clause(&missing_columns) + &query;
        let error = match engine.plan_statement(engine.parse(&sql)?).await {
            Ok(frame) => return Ok((frame, missing_columns)),
            Err(error) => error,
        };
        let missing = missing_column(&error).map(|missing| match &missing.relation {
            // `service.summary` is a column of a table, or a field of a column.
            Some(column) if external.nested_only.contains(column.table()) => column.table(),
            _ => missing.name.as_str(),
        });
        let missing = missing.filter(|column| may_lack(column));
        if missing.is_none_or(|column| !missing_columns.insert(column.to_owned())) {
            return Err(
                Error::new(ErrorKind::Configuration, "the [[table]]'s query fails")
                    .source(error)
                    .with("columns of external", external.columns.join(", "))
                    .hint("correct the [[table]]'s `query`"),
            );
        }
    }
}

/// Check that the contract has every column of the query, and that the query has the key. Skip the check for files
/// without columns.
pub(super) fn check_columns(
    frame: &DataFrame,
    contract: &Contract,
    external: &External,
) -> Result<()> {
    if external.columns.is_empty() {
        return Ok(());
    }
    let has: Vec<&str> = frame
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    for column in &has {
        if contract.column(column).is_none() && !BOOKKEEPING.contains(column) {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the outside table has a column that the table does not have",
            )
            .with("column", column)
            .hint("remove or rename it in the [[table]]'s `query`"));
        }
    }
    for column in &contract.primary_key {
        if !has.contains(&column.as_str()) {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the outside table lacks a column of the key",
            )
            .with("column", column)
            .hint("select it in the [[table]]'s `query`"));
        }
    }
    Ok(())
}
