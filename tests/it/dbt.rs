//! The dbt project that `bitlake steps` writes: built on DuckDB over the demo's lake, and parsed for the other engines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use bitlake::engine::Dialect;
use bitlake::lake::Lake;
use bitlake::transform::{DbtProject, StepGraph};
use serde_json::json;
use tempfile::TempDir;

use super::demo::{bitlake, demo_lake, text};
use super::python::Python;

static PYTHON: LazyLock<Option<Python>> = LazyLock::new(|| Python::with("dbt"));

/// Write the project of a dialect by the command, and return what it prints.
fn export(dialect: &str, out: &Path) -> String {
    let lake = demo_lake().to_str().unwrap();
    let out = out.to_str().unwrap();
    let arguments = ["--lake", lake, "steps", "--export", "dbt", "--dialect"];
    let output = bitlake(&[&arguments[..], &[dialect, "--out", out]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

async fn project(dialect: Dialect, outside: &[&str]) -> DbtProject {
    let outside: BTreeSet<_> = outside.iter().map(|it| (*it).to_owned()).collect();
    let steps = StepGraph::find(None).unwrap();
    steps.dbt_project(dialect, &outside, None).await.unwrap()
}

#[tokio::test]
async fn dbt_builds_every_model_as_the_lake_has_it() {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("project");
    export("duckdb", &out);
    let url = demo_lake().to_str().unwrap();
    let lake = Lake::open(url, &BTreeMap::new()).await.unwrap();
    let manifest = lake.manifest().await.unwrap();
    let files = |table: &String| {
        let files = manifest
            .files(table)
            .map(|(path, _)| demo_lake().join(path));
        (table.clone(), json!(files.collect::<Vec<_>>()))
    };
    let tables: serde_json::Map<_, _> = manifest.tables.keys().map(files).collect();
    let models = project(Dialect::Duckdb, &[]).await.models;
    assert!(models.len() > 70, "{}", models.len());
    let plan = json!({"project": out, "models": models, "tables": tables});
    python.run("build", &plan, folder.path());
}

#[test]
fn the_projects_of_all_engines_can_be_parsed() {
    let Some(python) = PYTHON.as_ref() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let mut projects = BTreeMap::new();
    for dialect in Dialect::WAREHOUSES {
        let out = folder.path().join(dialect.name());
        export(dialect.name(), &out);
        projects.insert(dialect.name(), out);
    }
    python.run("parse", &json!({"projects": projects}), folder.path());
}

#[tokio::test]
async fn engines_with_typed_lists_compute_every_sql_step_that_reads_the_lake_alone() {
    // What reads the commit graph, which is not in the lake, cannot be a model.
    let native = [
        "base.changes",
        "base.commit_graphs",
        "base.pull_request_ranges",
        "domain.commits_diffs",
        "domain.pull_request_commits",
        "domain.pull_requests",
        "domain.ref_commits",
        "dora.commit_deployments",
    ];
    for dialect in [
        Dialect::Duckdb,
        Dialect::Databricks,
        Dialect::Spark,
        Dialect::Trino,
    ] {
        let found = project(dialect, &[]).await.not_models;
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(names, native, "{}: {found:#?}", dialect.name());
    }
}

#[tokio::test]
async fn what_an_engine_lacks_is_a_source_with_the_reason() {
    let project = project(Dialect::Snowflake, &[]).await;
    let reason = &project.not_models["domain.boards"];
    assert_eq!(
        reason,
        "the dialect does not support `r.links['html']['href']`"
    );
    assert!(project.files["README.md"].contains(&format!("| `domain.boards` | {reason} |")));
    let issues = &project.files["models/domain/domain_board_repos.sql"];
    assert!(
        issues.contains("{{ source('lake_domain', 'boards') }}"),
        "{issues}"
    );
}

#[tokio::test]
async fn an_outside_table_is_a_source_and_so_is_what_needs_its_base_table() {
    let project = project(
        Dialect::Duckdb,
        &["domain.incidents", "domain.cicd_deployments"],
    )
    .await;
    assert!(project.not_models["domain.incidents"].contains("[[table]]"));
    assert!(project.not_models["base.cicd_deployments"].contains("[[table]]"));
    let incidents = &project.files["models/dora/dora_incidents.sql"];
    assert!(
        incidents.contains("{{ source('lake_domain', 'incidents') }}"),
        "{incidents}"
    );
}

#[test]
fn a_second_export_replaces_its_own_files_and_no_others() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("project");
    let first = export("duckdb", &out);
    assert!(first.starts_with("wrote 78 models"), "{first}");
    let own = out.join("models/domain/own.sql");
    std::fs::write(&own, "SELECT 1 AS n\n").unwrap();
    export("snowflake", &out);
    assert!(own.exists());
    assert!(!out.join("models/domain/domain_boards.sql").exists());
    assert!(out.join("models/dora/dora_changes.sql").exists());
    std::fs::write(out.join("README.md"), "mine\n").unwrap();
    let out = out.to_str().unwrap();
    let refused = bitlake(&[
        "steps",
        "--export",
        "dbt",
        "--dialect",
        "duckdb",
        "--out",
        out,
    ]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("README.md"),
        "{}",
        text(&refused.stderr)
    );
}
