//! `bitlake ddl`: prints the statements that create tables in a warehouse and load the lake, or its changes since a run.

use std::collections::BTreeSet;

use super::args::DdlArgs;
use super::context::{CliContext, CommandOutcome};
use super::output::print_data;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Lake, Manifest};
use crate::schema::ddl::{DdlDialect, DdlScript, DdlTable, LoadedTable};
use crate::schema::{Contract, Contracts};

pub(super) async fn run(context: &CliContext, args: DdlArgs) -> Result<CommandOutcome> {
    let location = args.location.as_deref().map(|it| it.trim_end_matches('/'));
    let mut script = DdlScript {
        dialect: args.dialect,
        title: vec!["bitlake: tables by their contracts".to_owned()],
        schema_prefix: &args.schema_prefix,
        location,
        tables: Vec::new(),
        gone: Vec::new(),
    };
    if args.create || args.dialect == DdlDialect::Dbt {
        // Athena's create statements contain the location; for other dialects a location adds load statements.
        script.location = location.filter(|_| args.dialect == DdlDialect::Athena);
        let contracts = Contracts::bundled()?.iter().map(AsRef::as_ref);
        script.tables = contracts
            .filter(|contract| is_chosen(&args, &contract.layer))
            .map(table_without_files)
            .collect();
        print_data(script.write()?.as_bytes())?;
        return Ok(CommandOutcome::Complete);
    }

    let config = context.config_for_reading()?;
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    let now = without_intent(lake.manifest().await?)?;
    if now.tables.is_empty() {
        return Err(
            Error::new(ErrorKind::Empty, "nothing was published to this lake yet")
                .with("lake", lake.url())
                .hint(
                    "run `bitlake run` first; --create prints the create statements without a lake",
                ),
        );
    }
    let former = match &args.changed_since {
        Some(run) => Some(lake.former_manifest(run).await?),
        None => None,
    };
    let here = lake.url().trim_end_matches('/').to_owned();
    script.location = location.or(Some(&here));
    script.title = title(&here, &now, args.changed_since.as_deref());
    let of_run = |table: &DdlTable<'_>| now.table(&table.contract.name()).is_some();
    let contracts = Contracts::bundled()?.iter();
    script.tables = contracts
        .filter(|contract| is_chosen(&args, &contract.layer))
        .map(|contract| table_with_files(contract, &now, former.as_ref()))
        .filter(of_run)
        .collect();
    script.gone = former
        .iter()
        .flat_map(|former| removed_tables(former, &now))
        .collect();
    script.gone.retain(|(layer, _)| is_chosen(&args, layer));
    print_data(script.write()?.as_bytes())?;
    Ok(CommandOutcome::Complete)
}

/// Return whether `--only` includes the layer.
fn is_chosen(args: &DdlArgs, layer: &str) -> bool {
    args.only.is_empty() || args.only.iter().any(|only| only == layer)
}

/// Return the manifest if no publish is in progress, because only then do the files match it.
fn without_intent(manifest: Manifest) -> Result<Manifest> {
    match &manifest.intent {
        None => Ok(manifest),
        Some(intent) => Err(Error::new(
            ErrorKind::Lake,
            "a run is publishing or was killed while publishing, so that files may differ from the manifest",
        )
        .with("run", &intent.run_id)
        .hint("print the statements after the next run")),
    }
}

fn title(lake: &str, now: &Manifest, since: Option<&str>) -> Vec<String> {
    let run = now.run_id.as_deref().unwrap_or("none");
    let mut title = vec![format!(
        "bitlake: {} as of run {run}",
        lake.replace('\n', " ")
    )];
    title.extend(since.map(|since| format!("Only what changed since run {since}.")));
    title
}

/// Return a table without files, for create statements only.
fn table_without_files(contract: &Contract) -> DdlTable<'_> {
    DdlTable {
        contract,
        files: BTreeSet::new(),
        loaded: None,
    }
}

/// Return a table with its files, and the files that a warehouse loaded after the run of `former`.
fn table_with_files<'a>(
    contract: &'a Contract,
    now: &'a Manifest,
    former: Option<&'a Manifest>,
) -> DdlTable<'a> {
    let name = contract.name();
    let loaded = former.and_then(|former| former.table(&name)).map(|entry| {
        let files = former
            .into_iter()
            .flat_map(|former| files_with_rows(former, &name));
        let files: BTreeSet<_> = files.collect();
        let changed = |path: &&str| {
            let file = now.table(&name).and_then(|entry| entry.files.get(*path));
            file.is_some_and(|file| {
                entry
                    .files
                    .get(*path)
                    .is_some_and(|before| file.sha256 != before.sha256)
            })
        };
        LoadedTable {
            version: entry.schema_version,
            changed: files.iter().copied().filter(changed).collect(),
            files,
        }
    });
    DdlTable {
        contract,
        files: files_with_rows(now, &name).collect(),
        loaded,
    }
}

/// Return the files of a table that have rows. An empty file exists only for readers of the table's columns.
fn files_with_rows<'a>(
    manifest: &'a Manifest,
    table: &str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let files = manifest.files(table).filter(|(_, file)| file.rows > 0);
    files.map(|(path, _)| path.as_str())
}

/// Return the tables that `former` contains and `now` does not.
fn removed_tables<'a>(
    former: &'a Manifest,
    now: &'a Manifest,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let names = former
        .tables
        .keys()
        .filter(|name| now.table(name).is_none());
    names.filter_map(|name| name.split_once('.'))
}
