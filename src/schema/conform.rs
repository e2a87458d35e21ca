//! Cast a query's result to the contract of its table.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::DataType;

use super::contract::Contract;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Return `batch` with the columns of the contract, in their order and with their types.
///
/// # Errors
/// [`ErrorKind::Contract`] with table and column, when a column is missing or not in the contract, when a value cannot be
/// cast, or when a column that is not nullable has a null.
pub fn conform(contract: &Contract, batch: &RecordBatch) -> Result<RecordBatch> {
    let violation = |column: &str, what: &str| {
        Error::new(ErrorKind::Contract, what.to_owned())
            .with("table", contract.name())
            .with("column", column)
    };
    for field in batch.schema_ref().fields() {
        if contract.column(field.name()).is_none() {
            return Err(violation(
                field.name(),
                "the query has a column that its contract does not name",
            ));
        }
    }
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let columns = contract
        .columns
        .iter()
        .map(|column| {
            let array = batch.column_by_name(&column.name).ok_or_else(|| {
                violation(
                    &column.name,
                    "the query lacks a column that its contract names",
                )
            })?;
            let array = cast_column(array, &column.data_type, &strict).map_err(|error| {
                error
                    .with("table", contract.name())
                    .with("column", &column.name)
            })?;
            if !column.nullable && array.null_count() > 0 {
                return Err(violation(
                    &column.name,
                    "a null where the contract allows none",
                ));
            }
            Ok(array)
        })
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(contract.arrow_schema(), columns)
        .or_error(
            ErrorKind::Contract,
            "the result does not match its contract",
        )
        .map_err(|error| error.with("table", contract.name()))
}

fn cast_column(array: &ArrayRef, to: &DataType, strict: &CastOptions<'_>) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    cast_with_options(array, to, strict).or_error(
        ErrorKind::Contract,
        format!("cannot turn {} into {to}", array.data_type()),
    )
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray};
    use datafusion::arrow::datatypes::{Field, Schema};

    use super::*;
    use crate::schema::Contracts;

    fn contract() -> Arc<Contract> {
        let text = r#"{"description": "d", "version": 1, "primary_key": ["id"], "columns": [
            {"name": "id", "type": "string", "nullable": false, "description": "i"},
            {"name": "n", "type": "bigint", "description": "n"}]}"#;
        let contracts = Contracts::parse("{}", [("domain", "t", text)]).unwrap();
        Arc::clone(contracts.require("domain", "t").unwrap())
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<_> = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    #[test]
    fn columns_are_reordered_and_cast() {
        let n: ArrayRef = Arc::new(StringArray::from(vec!["7"]));
        let id: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let conformed = conform(&contract(), &batch(vec![("n", n), ("id", id)])).unwrap();
        assert_eq!(conformed.schema(), contract().arrow_schema());
    }

    #[test]
    fn a_violation_names_table_and_column() {
        let id: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
        let n: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let word: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        let text = |columns| {
            conform(&contract(), &batch(columns))
                .unwrap_err()
                .to_string()
        };
        assert!(
            text(vec![("id", id), ("n", n.clone())])
                .contains("null where the contract allows none (table=domain.t, column=id)")
        );
        assert!(
            text(vec![("n", n.clone())])
                .contains("lacks a column that its contract names (table=domain.t, column=id)")
        );
        assert!(text(vec![("id", word.clone()), ("n", word.clone())]).contains("column=n"));
        assert!(text(vec![("id", word.clone()), ("n", n), ("m", word)]).contains("column=m"));
    }
}
