//! Explains why a result has no rows.

use std::fmt::Write as _;

use crate::engine::{Engine, Param, TableName};
use crate::error::Result;

/// Tables that can be empty because of the configuration, and the source of their rows.
const CAUSES: [(&str, &str); 6] = [
    (
        "domain.teams",
        "`[org]` in bitlake.toml names the teams and their members",
    ),
    (
        "dora.team_",
        "`[org]` in bitlake.toml names the teams and their members",
    ),
    (
        "domain.commit_files",
        "`commits = \"git\"` reads the files of commits",
    ),
    (
        "domain.issues",
        "issues come from Bitbucket's issue tracker or a [[table]]",
    ),
    (
        "domain.incidents",
        "incidents are issues of the types in the rule set, or a [[table]]",
    ),
    (
        "domain.boards",
        "boards come from Bitbucket's issue tracker or a [[table]]",
    ),
];
/// The most empty tables that are named.
const MOST: usize = 3;

/// Return the reason why a query returned no rows: no table is published, tables that it reads are empty, a period is
/// outside the collected time, or no row has the parameters' values.
///
/// # Errors
/// As [`Engine::query_texts`].
pub(super) async fn reason(
    engine: &Engine,
    tables: &[TableName],
    params: &[Param],
) -> Result<String> {
    let mut empty = Vec::new();
    for table in tables {
        let probe = format!(
            "SELECT 'row' FROM {}.\"{}\" LIMIT 1",
            table.layer, table.table
        );
        if engine.query_texts(&probe).await?.is_empty() {
            empty.push(table.to_string());
        }
    }
    if !tables.is_empty() && empty.len() == tables.len() && is_unpublished(engine).await? {
        return Ok(
            "this lake has no published rows yet: `bitlake run` collects and publishes".to_owned(),
        );
    }
    let mut text = String::new();
    let mut causes: Vec<&str> = Vec::new();
    for table in &empty {
        let known = CAUSES.iter().find(|(prefix, _)| table.starts_with(prefix));
        if let Some((_, cause)) = known.filter(|(_, cause)| !causes.contains(cause)) {
            causes.push(cause);
            let _ = write!(text, "{table} is empty ({cause}); ");
        }
    }
    let given = given(params);
    if causes.is_empty() && given.is_empty() && !empty.is_empty() {
        empty.truncate(MOST);
        let _ = write!(text, "empty: {}; ", empty.join(", "));
    }
    if !given.is_empty() {
        let _ = write!(text, "no row has {}; ", given.join(", "));
    }
    if let Some(outside) = outside(engine, params).await? {
        let _ = write!(text, "{outside}; ");
    }
    match text.trim_end_matches("; ") {
        "" => Ok("no row meets the conditions of the query".to_owned()),
        text => Ok(text.to_owned()),
    }
}

async fn is_unpublished(engine: &Engine) -> Result<bool> {
    let projects = "SELECT name FROM config.projects LIMIT 1";
    let repositories = "SELECT name FROM domain.repos LIMIT 1";
    Ok(engine.query_texts(projects).await?.is_empty()
        && engine.query_texts(repositories).await?.is_empty())
}

/// Return the filters that are set.
fn given(params: &[Param]) -> Vec<String> {
    let set = params.iter().filter(|param| {
        let is_text = param.type_name == "varchar" && param.allowed.is_empty();
        let is_filter = param.is_list() || param.moment.is_some() || is_text;
        is_filter && param.text != "null"
    });
    set.map(|param| format!("{}={}", param.name, param.text))
        .collect()
}

/// Return the bounds of the collected time, if `from` or `to` is given.
async fn outside(engine: &Engine, params: &[Param]) -> Result<Option<String>> {
    if !params.iter().any(|param| param.moment.is_some()) {
        return Ok(None);
    }
    let window = "SELECT 'the lake has ' || substr(cast(min(collected_from) AS varchar), 1, 10) || ' to ' \
        || substr(cast(max(collected_until) AS varchar), 1, 10) FROM metrics.collected_windows";
    Ok(engine.query_texts(window).await?.into_iter().next())
}
