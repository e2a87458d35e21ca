//! Builds the source layer: folds the segments, decodes files of an older schema again, and extends the history if it
//! is kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::history::HistoryExtension;
use super::repeated::repeated;
use super::run::TransformRun;
use super::{TransformEvent, TransformOptions, fold, redecode};
use crate::engine::{Engine, TableName};
use crate::error::Result;
use crate::lake::{NextTable, RepositoryState, layout};
use crate::redaction::Redactor;
use crate::schema::{Contract, HISTORY, Redecoder};

impl TransformRun<'_> {
    /// Stage every table of the source layer.
    pub(super) async fn stage_source(
        &mut self,
        states: &[RepositoryState],
        now: DateTime<Utc>,
        options: &TransformOptions,
    ) -> Result<()> {
        let engine = Arc::new(self.engine.for_payloads());
        let lookups = self.engine.for_lookups();
        let redactor = Redactor::new(options.masker.clone())?;
        let rebuild = options.rebuild;
        let contracts: Vec<_> = self.contracts.layer("bitbucket").cloned().collect();
        for contract in contracts {
            let started = Instant::now();
            let folder = self.folder("bitbucket", &contract.table);
            let table = &contract.name();
            options.listener.tell(TransformEvent::Reading { table });
            let repeated = repeated(self.lake, &lookups, &contract, states, &self.manifest).await?;
            let folded = fold::fold(
                self.lake,
                &engine,
                &contract,
                states,
                &self.manifest,
                &repeated,
                &folder,
            )
            .await?;
            let (took, table) = (started.elapsed(), &contract.table);
            tracing::debug!(
                table,
                repeated = repeated.len(),
                ?took,
                "folded a source table"
            );
            let old = old_segments(&contract, states);
            let stale = |path: &str| rebuild || old.contains(path);
            self.stage_redecoded(&engine, &redactor, &contract, folded, stale)
                .await?;
            if !self.config.lake.keep_history {
                continue;
            }
            self.register_final(&TableName::new(&contract.layer, &contract.table))
                .await?;
            let versions = self.contracts.require(HISTORY, &contract.table)?.clone();
            let past = HistoryExtension {
                lake: self.lake,
                engine: &engine,
                states,
                manifest: &self.manifest,
                now,
            };
            let folder = self.folder(HISTORY, &contract.table);
            let extended = past.extend(&contract, &versions, &folder).await?;
            let stale = rebuild || !old.is_empty();
            self.stage_redecoded(&engine, &redactor, &versions, extended, |_| stale)
                .await?;
        }
        Ok(())
    }

    /// Decode the outdated files of a table again, then stage the table. All its files have one schema.
    async fn stage_redecoded(
        &mut self,
        engine: &Engine,
        redactor: &Redactor,
        contract: &Arc<Contract>,
        mut table: NextTable,
        stale: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let published = self.manifest.table(&contract.name());
        let outdated = published.is_some_and(|it| it.schema_version < contract.version);
        let folder = self.folder(&contract.layer, &contract.table);
        let stage_redecoded = redecode::redecode(
            self.lake,
            engine,
            Redecoder::new(Arc::clone(contract), redactor.clone()),
            contract,
            &mut table,
            |path| outdated || stale(path),
            &folder,
        )
        .await?;
        if !stage_redecoded.misfits.is_empty() {
            let misfits = &mut self.report.misfits;
            misfits.insert(contract.name(), stage_redecoded.misfits);
        }
        if stage_redecoded.redactions > 0 {
            let redactions = &mut self.report.redactions;
            redactions.insert(contract.name(), stage_redecoded.redactions);
        }
        if !stage_redecoded.odd_times.is_empty() {
            let odd_times = &mut self.report.odd_times;
            odd_times.insert(contract.name(), stage_redecoded.odd_times);
        }
        self.add_table(&TableName::new(&contract.layer, &contract.table), table);
        Ok(())
    }
}

/// Return the source files that segments of an older schema were folded into.
fn old_segments(contract: &Contract, states: &[RepositoryState]) -> BTreeSet<String> {
    let entity = &contract.table;
    let old = states.iter().filter(|state| {
        let known = state.entities.get(entity);
        known.is_some_and(|known| {
            let mut segments = known.segments.iter();
            segments.any(|segment| segment.schema_version < contract.version)
        })
    });
    old.map(|state| layout::source_file(entity, state.connection_id, &state.full_name))
        .collect()
}
