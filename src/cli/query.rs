//! `bitlake query`: runs a bundled query or the user's SQL over the published tables.

mod catalog;
mod dates;
mod empty;
mod help;
mod sql;

use std::path::Path;
use std::sync::Arc;

use clap::CommandFactory;

use datafusion::arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryConsumer;
use futures::TryStreamExt;

use catalog::{NamedQuery, QueryCatalog, list_rows, list_text};
use dates::LakeCalendar;

use super::args::{Cli, QueryArgs};
use super::context::{CliContext, CommandOutcome};
use super::help::wrap;
use super::limits::{QueryLimits, too_large};
use super::output::{print, print_data, terminal_width};
use super::rows::{self, RowStyle};
use crate::engine::{
    Browse, Engine, Param, inline_params, is_out_of_memory, translate, unknown_value_error,
};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::Lake;
use crate::transform::open_published;

const OVERVIEW: &str = "dora/overview";

pub(super) async fn run(context: &CliContext, args: QueryArgs) -> Result<CommandOutcome> {
    let catalog = QueryCatalog::load(args.queries.as_deref())?;
    if args.help {
        return print_help(&catalog, args.name.as_deref());
    }
    if let Some(queries) = listed(&catalog, &args)? {
        return print_list(&queries, &args);
    }
    let given_sql = args.sql.as_deref().map(sql::read).transpose()?;
    if let Some(question) = given_sql
        .as_deref()
        .map(Browse::parse)
        .transpose()?
        .flatten()
    {
        let style = style(&args, false)?;
        let rows = rows::render(&[sql::browse(&question)?], style)?;
        rows::write(&rows, style.format, args.out.as_deref())?;
        return Ok(CommandOutcome::Complete);
    }
    if args.print {
        return print_sql(context, &catalog, &args).await;
    }
    let is_bundled = args.name.is_some() && args.queries.is_none();
    let style = style(&args, is_bundled)?;
    // Refuse a wrong name or value before the lake is opened.
    let named = args.name.as_deref();
    let named = named.map(|name| catalog.find(name, &args.params));
    let named = named.transpose()?;
    let (lake, engine) = open(context).await?;
    let limits = QueryLimits {
        time: args.timeout,
        memory: engine.memory_limit(),
    };
    let given: Vec<_> = args.params.iter().map(|(name, _)| name.clone()).collect();
    let out = args.out.clone();
    let work = async move {
        let (sql, params) = match (named, given_sql) {
            (Some(named), _) => named,
            (None, Some(sql)) => {
                let params = sql::params(&engine, &sql, &args.params).await?;
                (sql, params)
            }
            (None, None) => return Err(Error::new(ErrorKind::Usage, "no query is given")),
        };
        let tables = engine.references(&sql)?.into_iter();
        lake.check_tables(tables.map(|table| table.to_string()))
            .await?;
        for param in params.iter().filter(|param| given.contains(&param.name)) {
            check_values(&engine, param).await?;
        }
        rows::render(&rows_of(&engine, &sql, params).await?, style)
    };
    context.progress.start_phase("running the query");
    let text = limits.watch(work).await;
    context.progress.finish();
    rows::write(&text?, style.format, out.as_deref())?;
    Ok(CommandOutcome::Complete)
}

/// Return the queries to list: all of them, those of a group, or those with given words. `None` if a query is to be run.
///
/// # Errors
/// [`ErrorKind::Usage`] if no query matches.
fn listed<'a>(catalog: &'a QueryCatalog, args: &QueryArgs) -> Result<Option<Vec<&'a NamedQuery>>> {
    let found = match (&args.list, &args.search, &args.name) {
        (Some(text), ..) if text.is_empty() => return Ok(Some(catalog.all())),
        (Some(text), ..) => match catalog.group(text) {
            group if group.is_empty() => catalog.search(text),
            group => group,
        },
        (None, Some(text), _) => catalog.search(text),
        (None, None, Some(name)) => {
            let group = catalog.group(name);
            return Ok((!group.is_empty()).then_some(group));
        }
        (None, None, None) => return Ok(None),
    };
    match found.is_empty() {
        true => Err(Error::new(ErrorKind::Usage, "no query has these words")
            .hint("use fewer or other words; `bitlake query --list` shows all queries")),
        false => Ok(Some(found)),
    }
}

fn print_list(queries: &[&NamedQuery], args: &QueryArgs) -> Result<CommandOutcome> {
    let style = style(args, false)?;
    match (args.format, &args.out) {
        (None, None) => print_wrapped(&list_text(queries, style.width))?,
        (_, out) => {
            let rows = rows::render(&[list_rows(queries)?], style)?;
            rows::write(&rows, style.format, out.as_deref())?;
        }
    }
    Ok(CommandOutcome::Complete)
}

/// Print the help of a query, of the queries of a group, or of the command.
fn print_help(catalog: &QueryCatalog, name: Option<&str>) -> Result<CommandOutcome> {
    let Some(name) = name else {
        let mut cli = Cli::command();
        cli.build();
        if let Some(command) = cli.find_subcommand_mut("query") {
            super::print_help(&command.render_long_help());
        }
        return Ok(CommandOutcome::Complete);
    };
    let group = catalog.group(name);
    let text = match group.is_empty() {
        true => help::help(catalog, catalog.get(name)?.0)?,
        false => list_text(&group, terminal_width()),
    };
    print_wrapped(&text)?;
    Ok(CommandOutcome::Complete)
}

/// Print lines, wrapped within the terminal.
fn print_wrapped(text: &str) -> Result<()> {
    match terminal_width() {
        Some(width) => print(&wrap(text, width)),
        None => print(text),
    }
}

/// Print the SQL of a named query with the values of its parameters. Local times need the lake, for its time zones;
/// without one, they are times of UTC.
async fn print_sql(
    context: &CliContext,
    catalog: &QueryCatalog,
    args: &QueryArgs,
) -> Result<CommandOutcome> {
    let name = args.name.as_deref().unwrap_or_default();
    let (sql, params) = catalog.find(name, &args.params)?;
    let is_local = |param: &Param| param.moment.is_some_and(|moment| moment.is_local());
    let calendar = match params.iter().any(is_local) {
        true => match open(context).await {
            Ok((_, engine)) => LakeCalendar::read(&engine).await?,
            Err(error) => {
                tracing::warn!(%error, "no lake has the time zones of the projects, and times are read in UTC");
                LakeCalendar::without_lake()
            }
        },
        false => LakeCalendar::without_lake(),
    };
    for params in calendar.variants(params, false)? {
        let text = match args.dialect {
            Some(dialect) => translate(&sql, &params, dialect)?,
            None => inline_params(&sql, &params)?,
        };
        print_data(text.as_bytes())?;
    }
    Ok(CommandOutcome::Complete)
}

async fn open(context: &CliContext) -> Result<(Lake, Engine)> {
    let config = context.config_for_reading()?;
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    let engine = open_published(&lake, config.lake.memory_limit).await?;
    Ok((lake, engine))
}

fn style(args: &QueryArgs, is_bundled: bool) -> Result<RowStyle> {
    RowStyle::choose(args.format, args.out.as_deref(), args.csv_safe, is_bundled)
}

/// Run a query with local times in the time zones of the projects, and log the reason if it has no rows.
///
/// # Errors
/// As [`execute`].
pub(super) async fn rows_of(
    engine: &Engine,
    sql: &str,
    params: Vec<Param>,
) -> Result<Vec<RecordBatch>> {
    let given = params.clone();
    let times = given.iter().any(|param| param.moment.is_some());
    let variants = match times {
        true => {
            let frame = engine.plan(sql, &[]).await?;
            let first = frame.schema().fields().first().map(|field| field.name());
            let by_project = first.is_some_and(|name| name == "project");
            LakeCalendar::read(engine)
                .await?
                .variants(params, by_project)?
        }
        false => vec![params],
    };
    let rows = execute_variants(engine, sql, &variants).await?;
    if rows.iter().all(|batch| batch.num_rows() == 0) {
        let reason = empty::reason(engine, &engine.references(sql)?, &given).await?;
        tracing::warn!("no rows: {reason}");
    }
    Ok(rows)
}

/// Parameters whose values must exist in the lake, and the SQL that lists the values. A misspelt value would silently
/// give no rows.
const NAMED_PARAMETERS: [(&str, &str); 3] = [
    (
        "project",
        "SELECT name FROM domain.projects UNION SELECT project_name FROM domain.project_mapping",
    ),
    ("repo", "SELECT DISTINCT name FROM domain.repos"),
    ("team", "SELECT DISTINCT name FROM domain.teams"),
];

/// Check that the values of `param` exist in the lake.
async fn check_values(engine: &Engine, param: &Param) -> Result<()> {
    let Some((_, sql)) = NAMED_PARAMETERS
        .iter()
        .find(|(name, _)| *name == param.name)
    else {
        return Ok(());
    };
    let mut known = engine.query_texts(sql).await?;
    known.sort();
    if known.is_empty() && param.name == "team" {
        return Err(Error::new(ErrorKind::Usage, "this lake has no teams")
            .with("param", &param.name)
            .hint("name teams and their members under [org] in bitlake.toml, and run `bitlake transform`"));
    }
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    match param.items().into_iter().find(|word| !known.contains(word)) {
        Some(word) => Err(unknown_value_error(
            &param.name,
            word,
            &known,
            "the lake has",
        )),
        None => Ok(()),
    }
}

/// Run one SELECT and return its rows. A result without rows has one empty batch, which carries the columns.
///
/// # Errors
/// [`ErrorKind::Usage`] if the SQL is not a query, cannot be planned or fails.
pub(super) async fn execute(
    engine: &Engine,
    sql: &str,
    params: &[Param],
) -> Result<Vec<RecordBatch>> {
    execute_variants(engine, sql, &[params.to_vec()]).await
}

/// Run one SELECT with several sets of parameters, as [`execute`] does.
async fn execute_variants(
    engine: &Engine,
    sql: &str,
    variants: &[Vec<Param>],
) -> Result<Vec<RecordBatch>> {
    // Refuses every statement that is not a query.
    engine.references(sql)?;
    let frame = engine.plan_variants(sql, variants).await.map_err(|error| {
        error.hint("`bitlake tables` lists the tables and `bitlake tables NAME` their columns")
    })?;
    let schema = Arc::clone(frame.schema().inner());
    let mut batches =
        collect_rows(frame)
            .await
            .map_err(|error| match is_out_of_memory(&error) {
                true => too_large(engine.memory_limit()).source(error),
                false => Error::new(ErrorKind::Usage, "the query fails").source(error),
            })?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

/// Collect all rows, and register their memory with the engine's memory pool.
async fn collect_rows(frame: DataFrame) -> Result<Vec<RecordBatch>, DataFusionError> {
    let pool = Arc::clone(frame.task_ctx().memory_pool());
    let reservation = MemoryConsumer::new("the query's rows").register(&pool);
    let mut stream = frame.execute_stream().await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        for column in batch.columns() {
            reservation.try_grow(column.to_data().get_slice_memory_size()?)?;
        }
        if batch.num_rows() > 0 {
            batches.push(batch);
        }
    }
    Ok(batches)
}

/// Return the DORA metrics of each project as a table, which `run` and `demo` print at their end.
pub(super) async fn render_overview(lake: &Lake, memory_limit: Option<u64>) -> Result<Vec<u8>> {
    let engine = open_published(lake, memory_limit).await?;
    let (sql, params) = find_query(OVERVIEW, None, &[])?;
    let batches = execute(&engine, &sql, &params).await?;
    rows::render(&batches, RowStyle::table(true))
}

/// Return the SQL of a query and the values of its parameters.
///
/// # Errors
/// [`ErrorKind::Usage`] if there is no such query or parameter.
pub(super) fn find_query(
    name: &str,
    own: Option<&Path>,
    given: &[(String, String)],
) -> Result<(String, Vec<Param>)> {
    QueryCatalog::load(own)?.find(name, given)
}
