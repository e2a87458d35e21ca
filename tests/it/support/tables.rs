//! Tables of an engine, made by the bundled steps as a query needs them.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock};

use bitlake::engine::{Engine, TableName};
use bitlake::error::Result;
use bitlake::transform::{Step, StepGraph, run_step};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use tempfile::TempDir;

/// Tables of an engine, each made when a query first asks for it: a test pays for the steps that it looks at.
pub struct Tables {
    engine: Engine,
    made: Mutex<BTreeSet<TableName>>,
    folder: TempDir,
}

impl Tables {
    /// `given`: tables that no step needs to make.
    pub fn over(engine: Engine, given: BTreeSet<TableName>) -> Result<Self> {
        Ok(Self {
            engine,
            made: Mutex::new(given),
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// The lines of a query, cells joined by ` | `.
    pub async fn query(&self, sql: &str) -> Result<Vec<String>> {
        let steps = bundled_steps();
        let mut needed: BTreeSet<_> = self.engine.references(sql)?.into_iter().collect();
        for (step, reads) in steps.iter().rev() {
            // What is given need not be made, and neither what only it would need.
            if needed.contains(&step.name) && !self.made.lock().unwrap().contains(&step.name) {
                needed.extend(reads.iter().cloned());
            }
        }
        for (step, _) in steps {
            if needed.contains(&step.name) && self.made.lock().unwrap().insert(step.name.clone()) {
                let folder = self.folder.path().join(step.name.to_string());
                run_step(&self.engine, step, &folder).await?;
            }
        }
        lines_of(&self.engine, sql).await
    }
}

/// The bundled steps in their order, each with what it reads: parsed once for all cases.
fn bundled_steps() -> &'static [(Step, Vec<TableName>)] {
    static STEPS: OnceLock<Vec<(Step, Vec<TableName>)>> = OnceLock::new();
    STEPS.get_or_init(|| {
        let engine = Engine::new(None).unwrap();
        let steps = StepGraph::find(None)
            .unwrap()
            .topological_order(&engine)
            .unwrap();
        let read = |step: Step| {
            let reads = step.reads(&engine).unwrap().to_vec();
            (step, reads)
        };
        steps.into_iter().map(read).collect()
    })
}

/// The lines of a query, cells joined by ` | `.
pub async fn lines_of(engine: &Engine, sql: &str) -> Result<Vec<String>> {
    let batches = engine.plan(sql, &[]).await?.collect().await.unwrap();
    Ok(batches.iter().flat_map(print).collect())
}

fn print(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|array| ArrayFormatter::try_new(array, &options).unwrap())
        .collect();
    let line = |row| {
        columns
            .iter()
            .map(|c| c.value(row).to_string())
            .collect::<Vec<_>>()
            .join(" | ")
    };
    (0..batch.num_rows())
        .map(|row| line(row).trim().to_owned())
        .collect()
}
