//! The objects that DevLake's dashboards for Postgres need beside the lake's tables: a calendar, two tables for which
//! Bitbucket has no rows, and a search path, because the dashboards name tables without a schema.

use super::script::DdlTable;
use super::syntax::SqlSyntax;

/// The schema of the objects that only DevLake's dashboards use.
const SCHEMA: &str = "devlake";
/// The layers whose tables the dashboards read, in the order in which a name is looked up.
const LAYERS: [&str; 3] = ["domain", "dora", "metrics"];
/// The columns that every table of DevLake has.
const ORIGIN: &str = "created_at timestamptz, updated_at timestamptz, _raw_data_params text, _raw_data_table text, \
    _raw_data_id bigint, _raw_data_remark text";

/// Return the statements, if the script creates the tables of all layers that the dashboards read.
pub(super) fn statements(syntax: &SqlSyntax<'_>, tables: &[&DdlTable<'_>]) -> Vec<String> {
    let has = |layer: &&str| tables.iter().any(|table| table.contract.layer == *layer);
    let is_whole = tables.iter().all(|table| table.loaded.is_none());
    if !is_whole || !LAYERS.iter().all(has) {
        return Vec::new();
    }
    let schema = syntax.schema(SCHEMA);
    vec![
        format!("CREATE SCHEMA IF NOT EXISTS {schema}"),
        // The dashboards join by the two digits of the year, so that the calendar has one century.
        format!(
            "CREATE OR REPLACE VIEW {schema}.calendar_months AS\n\
             SELECT to_char(month_timestamp, 'YY/MM') AS month, month_timestamp\n\
             FROM generate_series(timestamp '2000-01-01', timestamp '2099-12-01', interval '1 month') AS month_timestamp"
        ),
        format!("COMMENT ON VIEW {schema}.calendar_months IS 'Months, for DevLake''s dashboards.'"),
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}.issue_labels (\n    issue_id text, label_name text, {ORIGIN},\n    \
             PRIMARY KEY (issue_id, label_name)\n)"
        ),
        format!(
            "COMMENT ON TABLE {schema}.issue_labels IS 'Empty: issues of Bitbucket have no labels. For DevLake''s dashboards.'"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}.repo_snapshot (\n    repo_id text, commit_sha text, file_path text, line_no \
             bigint, {ORIGIN},\n    PRIMARY KEY (repo_id, commit_sha, file_path, line_no)\n)"
        ),
        format!(
            "COMMENT ON TABLE {schema}.repo_snapshot IS 'Empty: lines of files are not collected. For DevLake''s dashboards.'"
        ),
        search_path(syntax),
    ]
}

/// Add the schemas to the end of the database's search path, so that names that were found before are still found in the
/// same schema.
fn search_path(syntax: &SqlSyntax<'_>) -> String {
    let schemas = LAYERS.into_iter().chain([SCHEMA]);
    let schemas = schemas.map(|layer| syntax.text(&format!("{}{layer}", syntax.schema_prefix)));
    let schemas: Vec<_> = schemas.collect();
    format!(
        "DO $path$\n\
         DECLARE\n    \
             path text := current_setting('search_path');\n    \
             added text;\n\
         BEGIN\n    \
             FOREACH added IN ARRAY ARRAY[{}] LOOP\n        \
                 IF added <> ALL (current_schemas(false)) THEN\n            \
                     path := path || ', ' || quote_ident(added);\n        \
                 END IF;\n    \
             END LOOP;\n    \
             EXECUTE format('ALTER DATABASE %I SET search_path = %s', current_database(), path);\n\
         EXCEPTION WHEN insufficient_privilege THEN\n    \
             RAISE NOTICE 'search_path not set: let the owner of the database do it, for DevLake''s dashboards';\n\
         END $path$",
        schemas.join(", ")
    )
}
