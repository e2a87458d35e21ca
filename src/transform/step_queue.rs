//! Runs the steps: each after those that it reads, and two at a time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::kept::{Decision, MadeFrom};
use super::run::TransformRun;
use super::run_step::{register_with_unique_key, run_step};
use super::steps::Step;
use super::write::{self, WrittenFiles};
use super::{TransformOptions, outside};
use crate::engine::{Engine, TableFile, TableName};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::Contract;

/// The steps that run at the same time. They share the memory limit, and use as many threads as there are cores.
const AT_ONCE: usize = 2;

/// The steps of a run that are not finished.
#[derive(Default)]
struct StepQueue {
    /// Steps of which it is not known whether their table is kept, in dependency order.
    undecided: Vec<Step>,
    /// Steps to run, in dependency order.
    to_make: Vec<QueuedStep>,
    running: JoinSet<Result<MadeTable>>,
    /// The tables of all of these.
    unfinished: BTreeSet<TableName>,
}

struct QueuedStep {
    step: Step,
    /// `None` for a base table.
    made_from: Option<MadeFrom>,
}

/// The table of a step that ran.
struct MadeTable {
    queued: QueuedStep,
    contract: Arc<Contract>,
    files: WrittenFiles,
}

impl TransformRun<'_> {
    /// Make the tables of the steps in dependency order, or keep them as published. Steps whose table is final or whose
    /// layer is not selected do not run. A base table is made when a step that is made reads it.
    pub(super) async fn run_steps(&mut self, options: &TransformOptions) -> Result<()> {
        let only = options.only.as_ref();
        let mut queue = StepQueue::default();
        for step in self.steps.topological_order(&self.engine)? {
            let is_selected = only.is_none_or(|layers| layers.contains(&step.name.layer));
            if is_selected && !step.is_base() && !self.contents.contains_key(&step.name) {
                queue.unfinished.insert(step.name.clone());
                queue.undecided.push(step);
            }
        }
        loop {
            self.decide_steps(&mut queue, options)?;
            self.start_steps(&mut queue).await?;
            let Some(made) = queue.next_made().await? else {
                break;
            };
            queue.unfinished.remove(&made.queued.step.name);
            match made.queued.made_from {
                Some(made_from) => self.stage(&made.contract, made.files, made_from),
                None => self.mark_registered(made.queued.step.name),
            }
        }
        match queue.unfinished.first() {
            None => Ok(()),
            Some(name) => {
                Err(Error::new(ErrorKind::Internal, "a step never ran").with("table", name))
            }
        }
    }

    /// Decide about the steps whose inputs are final.
    fn decide_steps(&mut self, queue: &mut StepQueue, options: &TransformOptions) -> Result<()> {
        for step in std::mem::take(&mut queue.undecided) {
            if self.waits_for_content(&step, &queue.unfinished)? {
                queue.undecided.push(step);
                continue;
            }
            let made_from = self.made_from(&step)?;
            match self.decide(&step, &made_from, options) {
                Decision::Keep => {
                    tracing::info!(table = %step.name, "kept a table");
                    queue.unfinished.remove(&step.name);
                    self.keep(&step, made_from);
                }
                Decision::Make(reason) => {
                    let reason = reason.to_string();
                    tracing::info!(table = %step.name, reason, "making a table");
                    self.report.made.insert(step.name.to_string(), reason);
                    for base in self.unmade_bases(&step)? {
                        // Another step may have asked for it.
                        if queue.unfinished.insert(base.name.clone()) {
                            queue.to_make.push(QueuedStep {
                                step: base,
                                made_from: None,
                            });
                        }
                    }
                    queue.to_make.push(QueuedStep {
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
    async fn start_steps(&mut self, queue: &mut StepQueue) -> Result<()> {
        for queued in std::mem::take(&mut queue.to_make) {
            let reads = queued.step.reads(&self.engine)?;
            let is_ready = !reads.iter().any(|read| queue.unfinished.contains(read));
            if !is_ready || queue.running.len() >= AT_ONCE {
                queue.to_make.push(queued);
                continue;
            }
            for read in reads {
                self.register_final(read).await?;
            }
            let name = &queued.step.name;
            let added = self.added_parts.get(name).into_iter().flatten();
            let added = added.map(|(part, _)| part.clone()).collect();
            let folder = self.folder(&name.layer, &name.table);
            let engine = Arc::clone(&self.engine);
            queue
                .running
                .spawn(make_table(engine, queued, folder, added));
        }
        Ok(())
    }
}

impl StepQueue {
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
    queued: QueuedStep,
    folder: PathBuf,
    mut added: Vec<String>,
) -> Result<MadeTable> {
    if added.is_empty() {
        let (contract, files) = run_step(&engine, &queued.step, &folder).await?;
        return Ok(MadeTable {
            queued,
            contract,
            files,
        });
    }
    let TableName { layer, table } = &queued.step.name;
    let own_part = format!("{layer}_{table}");
    let (contract, files) = run_step(&engine, &queued.step, &folder.join(&own_part)).await?;
    let own = files.iter().map(|(_, written)| TableFile::written(written));
    let own = own.collect::<Result<Vec<_>>>()?;
    engine.register_parquet(outside::GIVEN, &own_part, contract.arrow_schema(), &own)?;
    added.push(own_part);
    let files = write_union(&engine, &contract, &added, &folder).await?;
    Ok(MadeTable {
        queued,
        contract,
        files,
    })
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
