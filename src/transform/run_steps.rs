//! Runs the steps: each after those that it reads, and two at a time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::kept::{Decision, MadeFrom};
use super::run::TransformRun;
use super::run_step::{register_with_unique_key, run_step};
use super::steps::Step;
use super::write::{self, WrittenFiles};
use super::{StepReport, TransformEvent, TransformOptions, outside};
use crate::engine::{Engine, TableFile, TableName};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::memory::MemoryWatch;
use crate::schema::Contract;

/// The steps that run at the same time. They share the memory limit, and use as many threads as there are cores.
const AT_ONCE: usize = 2;

/// The steps of a run that are not finished.
#[derive(Default)]
struct PendingSteps {
    /// Steps of which it is not known whether their table is kept, in dependency order.
    undecided: Vec<Step>,
    /// Steps to run, in dependency order.
    to_make: Vec<PendingStep>,
    running: JoinSet<Result<MadeTable>>,
    /// The tables of all of these.
    unfinished: BTreeSet<TableName>,
    /// The number of tables that are made or kept.
    finished: usize,
}

struct PendingStep {
    step: Step,
    /// `None` for a base table.
    made_from: Option<MadeFrom>,
}

/// The table of a step that ran.
struct MadeTable {
    pending: PendingStep,
    contract: Arc<Contract>,
    files: WrittenFiles,
    took: StepReport,
}

impl TransformRun<'_> {
    /// Make the tables of the steps in dependency order, or keep them as published. Steps whose table is final or whose
    /// layer is not selected do not run. A base table is made when a step that is made reads it.
    pub(super) async fn run_steps(&mut self, options: &TransformOptions) -> Result<()> {
        let only = options.only.as_ref();
        let mut steps = PendingSteps::default();
        for step in self.steps.topological_order(&self.engine)? {
            let is_selected = only.is_none_or(|layers| layers.contains(&step.name.layer));
            if is_selected && !step.is_base() && !self.contents.contains_key(&step.name) {
                steps.unfinished.insert(step.name.clone());
                steps.undecided.push(step);
            }
        }
        loop {
            self.decide_steps(&mut steps, options)?;
            self.start_steps(&mut steps, options).await?;
            let Some(made) = steps.next_made().await? else {
                break;
            };
            let name = made.pending.step.name.clone();
            self.record_step(&name, made.took);
            steps.finish(&name, made.took.rows, options);
            match made.pending.made_from {
                Some(made_from) => self.stage(&made.contract, made.files, made_from),
                None => self.mark_registered(made.pending.step.name),
            }
        }
        match steps.unfinished.first() {
            None => Ok(()),
            Some(name) => {
                Err(Error::new(ErrorKind::Internal, "a step never ran").with("table", name))
            }
        }
    }

    /// Decide about the steps whose inputs are final.
    fn decide_steps(&mut self, steps: &mut PendingSteps, options: &TransformOptions) -> Result<()> {
        for step in std::mem::take(&mut steps.undecided) {
            if self.waits_for_content(&step, &steps.unfinished)? {
                steps.undecided.push(step);
                continue;
            }
            let made_from = self.made_from(&step)?;
            match self.decide(&step, &made_from, options) {
                Decision::Keep => {
                    tracing::info!(table = %step.name, "kept a table");
                    steps.finish(&step.name, 0, options);
                    self.keep(&step, made_from);
                }
                Decision::Make(reason) => {
                    let reason = reason.to_string();
                    tracing::debug!(table = %step.name, reason, "making a table");
                    self.report.made.insert(step.name.to_string(), reason);
                    for base in self.unmade_bases(&step)? {
                        // Another step may have asked for it.
                        if steps.unfinished.insert(base.name.clone()) {
                            steps.to_make.push(PendingStep {
                                step: base,
                                made_from: None,
                            });
                        }
                    }
                    steps.to_make.push(PendingStep {
                        step,
                        made_from: Some(made_from),
                    });
                }
            }
        }
        Ok(())
    }

    /// Return whether a table that a step reads, directly or by way of base tables, is not final.
    fn waits_for_content(&self, step: &Step, unfinished: &BTreeSet<TableName>) -> Result<bool> {
        for read in step.reads(&self.engine)? {
            let waits = match self.base_step(read) {
                Some(base) => self.waits_for_content(base, unfinished)?,
                None => unfinished.contains(read),
            };
            if waits {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Start the steps whose inputs are made, as many as may run.
    async fn start_steps(
        &mut self,
        steps: &mut PendingSteps,
        options: &TransformOptions,
    ) -> Result<()> {
        for pending in std::mem::take(&mut steps.to_make) {
            let reads = pending.step.reads(&self.engine)?;
            let is_ready = !reads.iter().any(|read| steps.unfinished.contains(read));
            if !is_ready || steps.running.len() >= AT_ONCE {
                steps.to_make.push(pending);
                continue;
            }
            for read in reads {
                self.register_final(read).await?;
            }
            let name = &pending.step.name;
            options
                .listener
                .tell(TransformEvent::Started { table: name });
            let added = self.added_parts.get(name).into_iter().flatten();
            let added = added.map(|(part, _)| part.clone()).collect();
            let folder = self.folder(&name.layer, &name.table);
            let engine = Arc::clone(&self.engine);
            steps
                .running
                .spawn(make_table(engine, pending, folder, added));
        }
        Ok(())
    }
}

impl TransformRun<'_> {
    /// Log a step that ran, and report what it took.
    fn record_step(&mut self, name: &TableName, took: StepReport) {
        let name = name.to_string();
        let reason = self.report.made.get(&name);
        let StepReport {
            rows, milliseconds, ..
        } = took;
        tracing::info!(table = %name, rows, milliseconds, reason, "made a table");
        self.report.steps.insert(name, took);
    }
}

impl PendingSteps {
    /// Record that a table is made or kept.
    fn finish(&mut self, table: &TableName, rows: u64, options: &TransformOptions) {
        self.unfinished.remove(table);
        self.finished += 1;
        options.listener.tell(TransformEvent::Finished {
            table,
            rows,
            done: self.finished,
            total: self.finished + self.unfinished.len(),
        });
    }

    /// Wait until a step has run. Return `None` if none is running.
    async fn next_made(&mut self) -> Result<Option<MadeTable>> {
        match self.running.join_next().await {
            None => Ok(None),
            Some(Ok(made)) => made.map(Some),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(error).or_error(ErrorKind::Internal, "a step was cancelled"),
            },
        }
    }
}

/// Run a step, and add the parts that `[[table]]` adds to its table. The table is registered then.
async fn make_table(
    engine: Arc<Engine>,
    pending: PendingStep,
    folder: PathBuf,
    added: Vec<String>,
) -> Result<MadeTable> {
    let started = Instant::now();
    let memory = MemoryWatch::start();
    let step = &pending.step;
    let (contract, files) = match added.is_empty() {
        true => run_step(&engine, step, &folder).await?,
        false => run_step_with_parts(&engine, step, &folder, added).await?,
    };
    let took = StepReport {
        rows: files.iter().map(|(_, written)| written.rows).sum(),
        milliseconds: started.elapsed().as_millis() as u64,
        peak_memory_bytes: memory.map(|memory| memory.peak()),
    };
    Ok(MadeTable {
        pending,
        contract,
        files,
        took,
    })
}

/// Run a step, and write its rows and the `added` parts as its table.
async fn run_step_with_parts(
    engine: &Engine,
    step: &Step,
    folder: &Path,
    mut added: Vec<String>,
) -> Result<(Arc<Contract>, WrittenFiles)> {
    let TableName { layer, table } = &step.name;
    let own_part = format!("{layer}_{table}");
    let (contract, files) = run_step(engine, step, &folder.join(&own_part)).await?;
    let own = files.iter().map(|(_, written)| TableFile::written(written));
    let own = own.collect::<Result<Vec<_>>>()?;
    engine.register_parquet(outside::GIVEN, &own_part, contract.arrow_schema(), &own)?;
    added.push(own_part);
    let files = write_union(engine, &contract, &added, folder).await?;
    Ok((contract, files))
}

/// Write the union of parts, which are in the schema `given`, as the table, and register it.
pub(super) async fn write_union(
    engine: &Engine,
    contract: &Contract,
    parts: &[String],
    folder: &Path,
) -> Result<WrittenFiles> {
    let sql = outside::union(contract, parts);
    let table = write::query(engine, &sql, &[], contract, folder).await?;
    register_with_unique_key(engine, contract, &table).await?;
    Ok(table.files)
}
