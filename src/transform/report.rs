//! What a transform did, for the run report.

use std::collections::BTreeMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::Published;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformReport {
    /// Rows by table, of the tables that were made.
    pub rows: BTreeMap<String, u64>,
    /// Values that did not fit their column when records were decoded again, by table and path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, BTreeMap<String, u64>>,
    pub published: Published,
    pub warnings: Vec<Warning>,
}

/// Rows that are right as far as they go, and that somebody should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub repository: String,
    pub kind: String,
    pub n: i64,
}

/// Runs a check, whose columns are `repository`, `kind`, `n`.
pub(super) async fn read_warnings(engine: &Engine, sql: &str) -> Result<Vec<Warning>> {
    let frame = engine.plan(sql, &[]).await?;
    let batches = frame
        .collect()
        .await
        .or_error(ErrorKind::Lake, "a check fails")?;
    let mut warnings = Vec::new();
    for batch in batches {
        let column = |name: &str, to: &DataType| {
            let array = batch
                .column_by_name(name)
                .ok_or(name)
                .or_error(ErrorKind::Internal, "a check lacks a column")?;
            cast(array, to).or_error(ErrorKind::Internal, "a check's column has the wrong type")
        };
        let repository = column("repository", &DataType::Utf8)?;
        let kind = column("kind", &DataType::Utf8)?;
        let n = column("n", &DataType::Int64)?;
        for row in 0..batch.num_rows() {
            warnings.push(Warning {
                repository: repository.as_string::<i32>().value(row).to_owned(),
                kind: kind.as_string::<i32>().value(row).to_owned(),
                n: n.as_primitive::<Int64Type>().value(row),
            });
        }
    }
    warnings.sort_by(|a, b| (&a.repository, &a.kind).cmp(&(&b.repository, &b.kind)));
    Ok(warnings)
}
