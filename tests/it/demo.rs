//! The demo end to end: it exports a workspace, and its tables are complete, keyed and traceable.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

use super::docs::page;

pub fn bitlake(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bitlake"))
        .args(args)
        .env_remove("BITLAKE_CONFIG")
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Demo {
    folder: TempDir,
    output: Output,
}

/// One demo lake for all tests that only read it.
static DEMO: LazyLock<Demo> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path());
    Demo { folder, output }
});

pub fn demo_lake() -> &'static Path {
    DEMO.folder.path()
}

fn demo(out: &Path) -> Output {
    let output = bitlake(&["demo", "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "the demo warns of nothing");
    output
}

/// Return the rows of a query over the demo's lake, as JSON objects.
fn rows(sql: &str) -> Vec<Value> {
    let lake = demo_lake().to_str().unwrap();
    let output = bitlake(&["--lake", lake, "query", "--format", "json", "--sql", sql]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn number(sql: &str) -> i64 {
    rows(sql)[0]["n"].as_i64().unwrap()
}

/// Return the SHA-256 of each published file by its path, from the manifest.
fn published(lake: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(lake.join("_bitlake/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let tables = manifest["tables"].as_object().unwrap();
    let files = tables
        .values()
        .flat_map(|table| table["files"].as_object().unwrap());
    files
        .map(|(path, file)| (path.clone(), file["sha256"].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn the_demo_prints_a_dora_table_and_what_to_try_next() {
    let stdout = text(&DEMO.output.stdout);
    assert!(
        stdout.contains("checkout") && stdout.contains("platform"),
        "{stdout}"
    );
    assert!(stdout.contains("Try next:"), "{stdout}");
    let page = demo_lake().join("report.html");
    let last = stdout.lines().last().unwrap();
    assert!(last.ends_with(page.to_str().unwrap()), "{last}");
    assert!(page.is_file());
}

#[test]
fn every_table_is_published_and_the_manifest_matches_the_files() {
    let lake = demo_lake();
    let published = published(lake);
    for contract in bitlake::schema::Contracts::bundled().unwrap().iter() {
        let folder = format!("{}/{}/", contract.layer, contract.table);
        assert!(
            published.keys().any(|path| path.starts_with(&folder)),
            "{folder} has no file"
        );
    }
    for path in published.keys() {
        assert!(lake.join(path).is_file(), "{path}");
    }
    let mut found = Vec::new();
    find_parquet(lake, &mut found);
    assert_eq!(
        found.len(),
        published.len(),
        "no leftover outside the manifest"
    );
}

fn find_parquet(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_parquet(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
            && !path.starts_with(demo_lake().join("_bitlake"))
        {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn two_exports_of_the_same_workspace_are_the_same_bytes() {
    let other = tempfile::tempdir().unwrap();
    demo(other.path());
    let mut ours = published(demo_lake());
    let mut theirs = published(other.path());
    // The endpoint contains the sandbox's random port; the history names the run that published a figure.
    for own in [
        "config/connections/part-0.parquet",
        "metrics/history/part-0.parquet",
    ] {
        assert!(ours.remove(own).is_some() && theirs.remove(own).is_some());
    }
    assert_eq!(ours, theirs);
}

#[test]
fn a_second_run_over_the_same_data_writes_no_data_file() {
    let lake = tempfile::tempdir().unwrap();
    demo(lake.path());
    let before = published(lake.path());
    let summary = text(&demo(lake.path()).stdout);
    // As above, only the connection's port differs.
    assert!(summary.contains(": 1 file written,"), "{summary}");
    assert!(summary.contains(" 0 removed"), "{summary}");
    assert_eq!(before.len(), published(lake.path()).len());
}

#[test]
fn nothing_that_was_collected_is_lost_on_the_way() {
    for (source, domain) in [
        ("bitbucket.pull_requests", "domain.pull_requests"),
        ("bitbucket.pipelines", "domain.cicd_pipelines"),
        ("bitbucket.pipeline_steps", "domain.cicd_tasks"),
        ("bitbucket.deployments", "domain.cicd_deployments"),
        ("bitbucket.issues", "domain.issues"),
        ("bitbucket.issue_comments", "domain.issue_comments"),
    ] {
        let source_rows = number(&format!("SELECT count(*) AS n FROM {source}"));
        assert!(source_rows > 0, "{source} is empty");
        assert_eq!(
            number(&format!("SELECT count(*) AS n FROM {domain}")),
            source_rows,
            "{domain}"
        );
    }
}

#[test]
fn every_person_is_one_account() {
    let accounts = "SELECT count(*) AS n FROM domain.accounts";
    assert_eq!(number(accounts), 14);
    let people = "SELECT count(DISTINCT uuid) AS n FROM domain.accounts";
    assert_eq!(number(people), 14);
}

#[test]
fn planted_secrets_and_private_drafts_do_not_reach_the_lake() {
    let planted = include_str!(
        "../../crates/bitlake-sandbox/fixtures/demo/acme/checkout-web/pipeline_steps.jsonl"
    );
    assert!(
        planted.contains("hunter2-registry-password"),
        "the fixture plants a password"
    );
    let found =
        "SELECT count(*) AS n FROM bitbucket.pipeline_steps WHERE contains(_payload, 'hunter2')";
    assert_eq!(number(found), 0);
    let drafts = "SELECT count(*) AS n FROM bitbucket.pull_request_comments WHERE contains(_payload, '\"pending\":true')";
    assert_eq!(number(drafts), 0);
}

#[test]
fn merged_pull_requests_have_forty_character_shas() {
    let short = "SELECT count(*) AS n FROM domain.pull_requests \
                 WHERE status = 'MERGED' AND length(merge_commit_sha) <> 40";
    assert_eq!(number(short), 0);
}

#[test]
fn the_demo_fixtures_equal_the_output_of_their_generator() {
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/bitlake-sandbox/fixtures/demo/make.py");
    match Command::new("python3")
        .arg(&program)
        .arg("--check")
        .output()
    {
        Ok(output) => assert!(output.status.success(), "{}", text(&output.stdout)),
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI needs python3: {error}"
            );
            eprintln!("skipped: python3 is not here ({error})");
        }
    }
}

#[test]
fn the_trail_in_the_book_leads_from_a_figure_of_the_demo_to_its_record() {
    let page = page("metrics.md");
    let lake = demo_lake().to_str().unwrap();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("bitlake query dora/trail "))
        .unwrap();
    let mut args = vec!["--lake", lake, "query", "dora/trail", "--format", "json"];
    args.extend(line.split_whitespace());
    let output = bitlake(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 15);
    let failed = rows
        .iter()
        .find(|row| {
            row["bitbucket_key"]
                .as_str()
                .unwrap()
                .starts_with("{4aa3acc7-")
        })
        .unwrap();
    assert_eq!(failed["value"], 2.0 / 15.0);
    assert_eq!(failed["evidence"], "incident");
    for step in [
        "checkout, change_failure_rate, 2026-07: 0.13 of n = 15",
        "in Production, failed: incident",
        "acme/checkout-web, _key {4aa3acc7-…}",
    ] {
        assert!(page.contains(step), "{step}");
    }
    let key = failed["bitbucket_key"].as_str().unwrap();
    assert_eq!(
        number(&format!(
            "SELECT count(*) AS n FROM bitbucket.deployments WHERE uuid = '{key}'"
        )),
        1
    );
}
