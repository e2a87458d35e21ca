//! Runs the checks, whose findings go to the run report.
//!
//! The findings of each check are kept in the lake with a digest of what it reads, so that a check runs again only over
//! other tables.

use std::collections::BTreeMap;
use std::time::Instant;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use serde::{Deserialize, Serialize};

use super::kept::build_digest;
use super::run::TransformRun;
use super::steps;
use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};
use crate::lake::{Lake, layout};

/// The finding of a check: rows that a user should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The full name of the repository; empty if the finding concerns no repository.
    pub repository: String,
    /// The kind of finding, as the check names it.
    pub kind: String,
    /// The number of rows.
    pub n: i64,
    /// Whether a user can do something about it. The others are in the report, and in the log of `-v`.
    #[serde(default = "is_true", skip_serializing_if = "Clone::clone")]
    pub is_actionable: bool,
}

fn is_true() -> bool {
    true
}

/// The findings of checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResults {
    /// The findings that need attention.
    pub warnings: Vec<Warning>,
    /// The findings that their check marks as expected.
    pub notices: Vec<Warning>,
}

impl CheckResults {
    fn extend(&mut self, other: Self) {
        self.warnings.extend(other.warnings);
        self.notices.extend(other.notices);
    }
}

/// The findings of the last run of each check, by its file. They are an object of the lake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownFindings(BTreeMap<String, KnownFinding>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KnownFinding {
    /// The digest of the check and of the tables that it read.
    made_from: String,
    #[serde(flatten)]
    found: CheckResults,
}

impl KnownFindings {
    /// Read the findings from the lake. An object that cannot be read counts as none, because every check can run again.
    pub(super) async fn read(lake: &Lake) -> Self {
        match lake.get_json(layout::CHECKS).await {
            Ok(known) => known.unwrap_or_default(),
            Err(error) => {
                tracing::debug!("cannot read the known findings: {error}");
                Self::default()
            }
        }
    }

    /// Put the findings into the lake. A failure is logged only, because every check can run again.
    pub(super) async fn put(&self, lake: &Lake) {
        if let Err(error) = lake.put_json(layout::CHECKS, self).await {
            tracing::info!("cannot keep the findings of the checks: {error}");
        }
    }

    /// Return the findings of all checks.
    pub(super) fn all(&self) -> CheckResults {
        let mut all = CheckResults::default();
        for known in self.0.values() {
            all.extend(known.found.clone());
        }
        all
    }
}

impl TransformRun<'_> {
    /// Return the findings of every check: those of `known` whose tables are still the same, and new ones.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when a check fails, naming its file.
    pub(super) async fn run_checks(&mut self, known: &KnownFindings) -> Result<KnownFindings> {
        let mut findings = KnownFindings::default();
        for (file, sql) in steps::checks() {
            let reads = self.engine.references(sql)?;
            let contents = reads.iter().map(|read| self.content(read));
            let made_from = build_digest(&contents.chain([sql.to_owned()]).collect::<String>());
            let same = known.0.get(&file).filter(|it| it.made_from == made_from);
            let found = match same {
                Some(same) => same.found.clone(),
                None => {
                    for read in &reads {
                        self.register_final(read).await?;
                    }
                    let started = Instant::now();
                    let found = run_check(&self.engine, sql).await;
                    tracing::debug!(file, took = ?started.elapsed(), "ran a check");
                    found.map_err(|error| error.with("file", &file))?
                }
            };
            findings.0.insert(file, KnownFinding { made_from, found });
        }
        Ok(findings)
    }
}

/// Run the bundled checks whose file is `selected`, and collect their findings.
///
/// # Errors
/// [`ErrorKind::Lake`] when a check fails, naming its file.
pub(super) async fn run_checks(
    engine: &Engine,
    selected: impl Fn(&str) -> bool,
) -> Result<CheckResults> {
    let mut all = CheckResults::default();
    for (file, sql) in steps::checks().filter(|(file, _)| selected(file)) {
        let found = run_check(engine, sql).await;
        all.extend(found.map_err(|error| error.with("file", file))?);
    }
    Ok(all)
}

/// Run one check. Its columns are `repository`, `kind`, `n` and, if they are not the same for all findings of all checks,
/// `is_expected` and `is_actionable`.
async fn run_check(engine: &Engine, sql: &str) -> Result<CheckResults> {
    let frame = engine.plan(sql, &[]).await?;
    let batches = frame
        .collect()
        .await
        .or_error(ErrorKind::Lake, "a check fails")?;
    let mut found = CheckResults::default();
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
        let flag = |name: &str| match batch.column_by_name(name) {
            Some(_) => column(name, &DataType::Boolean).map(Some),
            None => Ok(None),
        };
        let (expected, actionable) = (flag("is_expected")?, flag("is_actionable")?);
        for row in 0..batch.num_rows() {
            let is_expected = expected
                .as_ref()
                .is_some_and(|it| it.as_boolean().value(row));
            let list = match is_expected {
                true => &mut found.notices,
                false => &mut found.warnings,
            };
            list.push(Warning {
                repository: repository.as_string::<i32>().value(row).to_owned(),
                kind: kind.as_string::<i32>().value(row).to_owned(),
                n: n.as_primitive::<Int64Type>().value(row),
                is_actionable: actionable
                    .as_ref()
                    .is_none_or(|it| it.as_boolean().value(row)),
            });
        }
    }
    for list in [&mut found.warnings, &mut found.notices] {
        list.sort_by(|a, b| (&a.repository, &a.kind).cmp(&(&b.repository, &b.kind)));
    }
    Ok(found)
}
