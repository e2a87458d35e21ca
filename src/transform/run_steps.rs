//! Runs the steps: each after those that it reads, and two at a time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::kept::{Decision, MadeFrom};
use super::run::{Place, TransformRun};
use super::run_step::{register_with_unique_key, run_step};
use super::step_in_part::StepInPart;
use super::steps::{BASE, Step};
use super::tasks::next_finished;
use super::write::{self, WrittenFiles};
use super::{StepReport, TransformEvent, TransformOptions, outside};
use crate::engine::{Engine, TableFile, TableName};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{NextFile, NextTable};
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
    /// The tables of all of these. One with a content is at the place of whole tables, wherever it is made.
    unfinished: BTreeSet<(Place, TableName)>,
    /// The number of tables that are made or kept, without base tables.
    finished: usize,
}

struct PendingStep {
    step: Step,
    place: Place,
    /// `None` for a base table that is not stored.
    made_from: Option<MadeFrom>,
}

/// The table of a step that ran.
struct MadeTable {
    pending: PendingStep,
    contract: Arc<Contract>,
    rows: MadeRows,
    took: StepReport,
}

enum MadeRows {
    /// All rows. They are registered where they were made.
    Whole(WrittenFiles),
    /// Those of a part, and the published ones of the others.
    InPart(NextTable),
}

impl TransformRun<'_> {
    /// Make the tables of the steps in dependency order, or keep them as published. Steps whose table is final or whose
    /// layer is not selected do not run. A base table is made when a step that is made reads it.
    pub(super) async fn run_steps(&mut self, options: &TransformOptions) -> Result<()> {
        self.open_parts(options).await?;
        let mut steps = self.all_undecided(options)?;
        let made = self.make_steps(&mut steps, options).await;
        // After a failure another step may still stage files.
        steps.running.shutdown().await;
        made?;
        match steps.unfinished.first() {
            None => Ok(()),
            Some((_, name)) => {
                Err(Error::new(ErrorKind::Internal, "a step never ran").with("table", name))
            }
        }
    }

    async fn make_steps(
        &mut self,
        steps: &mut PendingSteps,
        options: &TransformOptions,
    ) -> Result<()> {
        loop {
            self.decide_steps(steps, options)?;
            self.start_steps(steps, options).await?;
            let Some(made) = steps.next_made().await? else {
                return Ok(());
            };
            self.finish(made, steps, options);
        }
    }

    /// Return the selected steps, and those of the stored base tables that they read.
    fn all_undecided(&self, options: &TransformOptions) -> Result<PendingSteps> {
        let mut steps = PendingSteps::default();
        let only = options.only.as_ref();
        let mut wanted = BTreeSet::new();
        for step in self
            .steps
            .topological_order(&self.engine)?
            .into_iter()
            .rev()
        {
            let is_selected = only.is_none_or(|layers| layers.contains(&step.name.layer));
            let is_wanted = match step.is_base() {
                true => wanted.contains(&step.name) && !self.contents.contains_key(&step.name),
                false => is_selected && !self.contents.contains_key(&step.name),
            };
            if !is_wanted {
                continue;
            }
            wanted.extend(step.reads(&self.engine)?.iter().cloned());
            if self.base_step(&step.name).is_none() {
                steps.unfinished.insert((Place::Whole, step.name.clone()));
                steps.undecided.push(step);
            }
        }
        steps.undecided.reverse();
        Ok(steps)
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
                    steps.finish((Place::Whole, step.name.clone()), 0, options);
                    self.keep(&step, made_from);
                }
                Decision::Make(reason) => {
                    let mut reason = reason.to_string();
                    let place = self.part_of(&step, &made_from)?;
                    let place = place.map_or(Place::Whole, Place::Part);
                    if let Some(share) = self.share(place) {
                        reason = format!("{share}; {reason}");
                    }
                    tracing::debug!(table = %step.name, reason, "making a table");
                    if !step.is_base() {
                        self.report.made.insert(step.name.to_string(), reason);
                    }
                    for base in self.unmade_bases(&step, place)? {
                        // Another step may have asked for it.
                        if steps.unfinished.insert((place, base.name.clone())) {
                            steps.to_make.push(PendingStep {
                                step: base,
                                place,
                                made_from: None,
                            });
                        }
                    }
                    steps.to_make.push(PendingStep {
                        step,
                        place,
                        made_from: Some(made_from),
                    });
                }
            }
        }
        Ok(())
    }

    /// Return whether a table that a step reads, directly or by way of base tables, is not final.
    fn waits_for_content(
        &self,
        step: &Step,
        unfinished: &BTreeSet<(Place, TableName)>,
    ) -> Result<bool> {
        for read in step.reads(&self.engine)? {
            let waits = match self.base_step(read) {
                Some(base) => self.waits_for_content(base, unfinished)?,
                None => unfinished.contains(&(Place::Whole, read.clone())),
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
            let PendingStep { step, place, .. } = &pending;
            let reads = step.reads(&self.engine)?;
            let is_ready = !reads.iter().any(|read| {
                let place = self.base_step(read).map_or(Place::Whole, |_| *place);
                steps.unfinished.contains(&(place, read.clone()))
            });
            if !is_ready || steps.running.len() >= AT_ONCE {
                steps.to_make.push(pending);
                continue;
            }
            for read in reads {
                if self.base_step(read).is_none() {
                    match place {
                        Place::Whole => self.register_final(read).await?,
                        Place::Part(scope) => self.register_part(*scope, read).await?,
                    }
                }
            }
            let table = &step.name;
            options.listener.tell(TransformEvent::Started { table });
            match (*place, &pending.made_from) {
                (Place::Part(scope), Some(_)) => {
                    let work = self.step_in_part(step, scope).await?;
                    steps.running.spawn(make_in_part(work, pending));
                }
                _ => {
                    let name = &step.name;
                    let added = self.added_parts.get(name).into_iter().flatten();
                    let added = added.map(|(part, _)| part.clone()).collect();
                    let mut folder = self.folder(&name.layer, &name.table);
                    if let Place::Part(scope) = place {
                        folder = folder.join(format!("of one {scope}"));
                    }
                    let engine = self.engine_at(*place);
                    let work = make_table(engine, pending, folder, added);
                    steps.running.spawn(work);
                }
            }
        }
        Ok(())
    }

    /// Record a table that was made.
    fn finish(&mut self, made: MadeTable, steps: &mut PendingSteps, options: &TransformOptions) {
        let PendingStep {
            step,
            place,
            made_from,
        } = made.pending;
        self.record_step(&step.name, made.took);
        let rows = made.took.rows;
        let Some(made_from) = made_from else {
            steps.finish((place, step.name.clone()), rows, options);
            return self.mark_registered(place, step.name);
        };
        steps.finish((Place::Whole, step.name.clone()), rows, options);
        match made.rows {
            MadeRows::Whole(files) => self.stage(&made.contract, files, made_from),
            MadeRows::InPart(mut table) => {
                table.made_from = made_from;
                self.add_table(&step.name, table);
                if let Place::Part(scope) = place {
                    // The step has registered its rows, which are those of the part.
                    self.mark_registered(place, step.name.clone());
                    self.made_in_parts.insert(step.name, scope);
                }
            }
        }
    }

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
    fn finish(&mut self, made: (Place, TableName), rows: u64, options: &TransformOptions) {
        // Base tables are not counted, because a run learns only step by step which of them it needs.
        let is_counted = |name: &TableName| name.layer != BASE;
        self.unfinished.remove(&made);
        self.finished += usize::from(is_counted(&made.1));
        let left = self.unfinished.iter().filter(|(_, name)| is_counted(name));
        options.listener.tell(TransformEvent::Finished {
            table: &made.1,
            rows,
            done: self.finished,
            total: self.finished + left.count(),
        });
    }

    /// Wait until a step has run. Return `None` if none is running.
    async fn next_made(&mut self) -> Result<Option<MadeTable>> {
        next_finished(&mut self.running).await?.transpose()
    }
}

/// Make the rows of a part, and replace the published ones.
async fn make_in_part(work: StepInPart, pending: PendingStep) -> Result<MadeTable> {
    let clock = StepClock::start();
    let (contract, table) = work.make().await?;
    let rows = table.files.values().map(|file| match file {
        NextFile::Staged(written) => written.rows,
        NextFile::Kept => 0,
    });
    Ok(MadeTable {
        pending,
        contract,
        took: clock.stop(rows.sum()),
        rows: MadeRows::InPart(table),
    })
}

/// Measures a step.
struct StepClock {
    started: Instant,
    memory: Option<MemoryWatch>,
}

impl StepClock {
    fn start() -> Self {
        Self {
            started: Instant::now(),
            memory: MemoryWatch::start(),
        }
    }

    fn stop(self, rows: u64) -> StepReport {
        StepReport {
            rows,
            milliseconds: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            peak_memory_bytes: self.memory.map(|memory| memory.peak()),
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
    let clock = StepClock::start();
    let step = &pending.step;
    let (contract, files) = match added.is_empty() {
        true => run_step(&engine, step, &folder).await?,
        false => run_step_with_parts(&engine, step, &folder, added).await?,
    };
    let took = clock.stop(files.iter().map(|(_, written)| written.rows).sum());
    Ok(MadeTable {
        pending,
        contract,
        rows: MadeRows::Whole(files),
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
