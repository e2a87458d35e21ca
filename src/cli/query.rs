//! `bitlake query`: runs a bundled query or the user's SQL over the published tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryConsumer;
use futures::TryStreamExt;

use super::args::QueryArgs;
use super::context::{CliContext, CommandOutcome};
use super::limits::{QueryLimits, too_large};
use super::output::{print, print_data};
use super::rows::{self, RowStyle};
use crate::encoding;
use crate::engine::{
    Engine, Param, bind_params, declared_params, inline_params, is_out_of_memory, translate,
    unknown_value_error,
};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::lake::Lake;
use crate::suggest;
use crate::transform::{open_published, reports};

const OVERVIEW: &str = "dora/overview";

pub(super) async fn run(context: &CliContext, args: QueryArgs) -> Result<CommandOutcome> {
    if args.list {
        print(&list(args.queries.as_deref())?)?;
        return Ok(CommandOutcome::Complete);
    }
    let (sql, params) = match (&args.sql, &args.name) {
        (Some(sql), _) => (sql.clone(), Vec::new()),
        (None, Some(name)) => find_query(name, args.queries.as_deref(), &args.params)?,
        (None, None) => return Err(Error::new(ErrorKind::Usage, "no query is given")),
    };
    if args.print {
        let text = match args.dialect {
            Some(dialect) => translate(&sql, &params, dialect)?,
            None => inline_params(&sql, &params)?,
        };
        print_data(text.as_bytes())?;
        return Ok(CommandOutcome::Complete);
    }
    let is_bundled = args.name.is_some() && args.queries.is_none();
    let out = args.out.as_deref();
    let style = RowStyle::choose(args.format, out, args.csv_safe, is_bundled)?;
    let config = context.config_for_reading()?;
    let lake = Lake::open(&config.lake.url, &config.lake.options).await?;
    let engine = open_published(&lake, config.lake.memory_limit).await?;
    let tables = engine.references(&sql)?.into_iter();
    lake.check_tables(tables.map(|table| table.to_string()))
        .await?;
    let limits = QueryLimits {
        time: args.timeout,
        memory: engine.memory_limit(),
    };
    let given: Vec<_> = args.params.into_iter().map(|(name, _)| name).collect();
    let work = async move {
        for param in params.iter().filter(|param| given.contains(&param.name)) {
            check_values(&engine, param).await?;
        }
        rows::render(&execute(&engine, &sql, &params).await?, style)
    };
    let text = limits.watch(work).await?;
    rows::write(&text, style.format, args.out.as_deref())?;
    Ok(CommandOutcome::Complete)
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
    // Refuses every statement that is not a query.
    engine.references(sql)?;
    let frame = engine.plan(sql, params).await.map_err(|error| {
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

/// Return the SQL of a named query and the values of its parameters.
///
/// # Errors
/// [`ErrorKind::Usage`] if there is no such query or parameter.
pub(super) fn find_query(
    name: &str,
    own: Option<&Path>,
    given: &[(String, String)],
) -> Result<(String, Vec<Param>)> {
    let known = all_queries(own)?;
    let exact = known.iter().find(|(candidate, _)| candidate == name);
    let found = match exact {
        Some((_, sql)) => Some((sql, Vec::new())),
        None => known
            .iter()
            .find_map(|(_, sql)| Some((sql, alias(sql, name)?))),
    };
    let Some((sql, preset)) = found else {
        let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
        let close = suggest::closest(name, names.iter().copied());
        let hint = match close {
            Some(close) => format!("did you mean `{close}`?"),
            None => "`bitlake query --list` shows them".to_owned(),
        };
        return Err(Error::new(ErrorKind::Usage, "there is no such query")
            .with("name", name)
            .hint(hint));
    };
    let preset = preset
        .into_iter()
        .filter(|(name, _)| !given.iter().any(|(given, _)| given == name));
    let values: Vec<_> = preset.chain(given.iter().cloned()).collect();
    Ok((sql.clone(), bind_params(declared_params(sql)?, &values)?))
}

/// A former name of the report and the parameter values it stands for: `-- alias: dora/old_name interval=day`.
const ALIAS: &str = "-- alias:";

/// Return the parameter values that `name` stands for if the header of `sql` declares it as an alias.
fn alias(sql: &str, name: &str) -> Option<Vec<(String, String)>> {
    let mut aliases = sql.lines().filter_map(|line| line.strip_prefix(ALIAS));
    aliases.find_map(|text| {
        let mut words = text.split_whitespace();
        (words.next() == Some(name)).then(|| {
            let values = words.filter_map(|word| word.split_once('='));
            values
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        })
    })
}

/// Return every query by name: the bundled ones, and those of `own/reports`, which replace bundled ones of the same name.
fn all_queries(own: Option<&Path>) -> Result<Vec<(String, String)>> {
    let mut queries: BTreeMap<String, String> = reports()
        .into_iter()
        .map(|(name, sql)| (name, sql.to_owned()))
        .collect();
    let Some(folder) = own.map(|own| own.join("reports")) else {
        return Ok(queries.into_iter().collect());
    };
    let entries = |folder: &Path| {
        std::fs::read_dir(folder)
            .map(|entries| {
                entries
                    .flatten()
                    .map(|entry| entry.path())
                    .collect::<Vec<_>>()
            })
            .unwrap_or_default()
    };
    for group in entries(&folder) {
        for file in entries(&group)
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "sql"))
        {
            let sql = std::fs::read(file)
                .or_error(ErrorKind::Configuration, "cannot read a query")
                .and_then(|bytes| encoding::text(bytes, file, ErrorKind::Configuration))
                .map_err(|error| error.with("file", file.display()))?;
            if let (Some(group), Some(name)) = (group.file_name(), file.file_stem()) {
                queries.insert(format!("{}/{}", group.display(), name.display()), sql);
            }
        }
    }
    Ok(queries.into_iter().collect())
}

/// Return a list of the queries by group, each with its question, which is the first line of its SQL.
fn list(own: Option<&Path>) -> Result<String> {
    let mut groups: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for (name, sql) in all_queries(own)? {
        let question = sql
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches(['-', ' ']);
        let group = name.split('/').next().unwrap_or_default().to_owned();
        let line = vec![format!("  {name}"), question.to_owned()];
        groups.entry(group).or_default().push(line);
    }
    let groups: Vec<_> = groups
        .into_iter()
        .map(|(group, lines)| format!("{group}\n{}", rows::aligned(&lines)))
        .collect();
    Ok(groups.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(params: &[Param], name: &str) -> String {
        let found = params.iter().find(|param| param.name == name);
        found.map(|param| param.text.clone()).unwrap()
    }

    #[test]
    fn a_former_name_runs_the_report_with_the_values_that_it_stands_for() {
        let given = |values: &[(&str, &str)]| -> Vec<_> {
            let pairs = values.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let (sql, params) = find_query("dora_details/lead_time_coding", None, &[]).unwrap();
        let (canonical, defaults) = find_query("dora_details/lead_time_mean", None, &[]).unwrap();
        assert_eq!(sql, canonical);
        assert_eq!(value(&params, "part"), "coding");
        assert_eq!(value(&defaults, "part"), "cycle");
        let given = given(&[("part", "review"), ("project", "shop")]);
        let (_, params) = find_query("dora_details/lead_time_coding", None, &given).unwrap();
        assert_eq!(value(&params, "part"), "review");
        assert_eq!(value(&params, "project"), "shop");
    }

    #[test]
    fn every_former_name_is_declared_once_and_sets_parameters_that_the_report_has() {
        let known = all_queries(None).unwrap();
        let mut names: Vec<String> = known.iter().map(|(name, _)| name.clone()).collect();
        for (_, sql) in &known {
            for line in sql.lines().filter_map(|line| line.strip_prefix(ALIAS)) {
                let name = line.split_whitespace().next().unwrap();
                find_query(name, None, &[]).unwrap();
                names.push(name.to_owned());
            }
        }
        let total = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), total);
        assert!(total > known.len(), "no report declares a former name");
    }
}
