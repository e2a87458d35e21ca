//! Finding a query, its parameters and times, and what is said where there are no rows.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::demo::{bitlake, demo_lake, text};
use super::outside::Outside;

/// Run `bitlake query` over the demo; return the exit code, stdout and stderr.
fn query(args: &[&str]) -> (i32, String, String) {
    query_of(demo_lake(), args)
}

fn query_of(lake: &Path, args: &[&str]) -> (i32, String, String) {
    let lake = lake.to_str().unwrap();
    let output = bitlake(&[&["--lake", lake, "query"], args].concat());
    let code = output.status.code().unwrap();
    (code, text(&output.stdout), text(&output.stderr))
}

/// Return the lines of a query's rows as CSV, without the heading.
fn rows(args: &[&str]) -> Vec<String> {
    let (code, rows, error) = query(&[args, &["--format", "csv"]].concat());
    assert_eq!((code, error.as_str()), (0, ""), "{args:?}");
    rows.lines().skip(1).map(str::to_owned).collect()
}

fn refusal(args: &[&str]) -> String {
    let (code, _, error) = query(args);
    assert_eq!(code, 2, "{error}");
    error
}

#[test]
fn a_group_and_words_list_the_queries_that_they_name() {
    let (_, of_group, _) = query(&["pull_requests"]);
    assert!(of_group.starts_with("pull_requests\n  pull_requests/oldest_open  "));
    assert_eq!(query(&["--list", "pull_requests/"]).1, of_group);
    let (_, found, _) = query(&["--search", "slots Steps"]);
    assert_eq!(found.lines().count(), 2);
    assert!(found.contains("cicd/slot_usage"));
    let error = refusal(&["--search", "zebra"]);
    assert!(
        error.starts_with("error: no query has these words"),
        "{error}"
    );
    let listed = rows(&["--list", "cicd"]);
    assert_eq!(
        listed,
        [
            "cicd/slot_usage,\"How many pipeline steps run at once at most, and how many build minutes are used?\",cicd,\
          one row per workspace and period in which a step started,\"project, repo, from, to, interval\","
        ]
    );
    let (_, json, _) = query(&["--list", "cicd", "--format", "json"]);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row["query"], "cicd/slot_usage");
}

#[test]
fn a_query_explains_itself() {
    let (code, help, _) = query(&["dora/lead_time", "--help"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(help);
    let (code, help, _) = query(&["--help"]);
    assert!(code == 0 && help.contains("Usage: bitlake query"), "{help}");
    let error = refusal(&["lead_time", "--help"]);
    assert!(error.contains("did you mean `dora/lead_time`, "), "{error}");
}

#[test]
fn a_month_begins_at_the_local_midnight_of_each_project() {
    let args = [
        "dora/lead_time_over_time",
        "--param",
        "from=2026-10",
        "--param",
        "to=2026-11",
    ];
    let begins = |line: &String| line.split(',').take(4).collect::<Vec<_>>().join(" ");
    let begins: Vec<_> = rows(&args).iter().map(begins).collect();
    assert_eq!(
        begins,
        [
            "checkout  2026-10 2026-09-30T22:00:00Z",
            "platform  2026-10 2026-10-01T00:00:00Z"
        ]
    );
    let lone = [&args[..], &["--param", "project=checkout"]].concat();
    assert_eq!(rows(&lone).len(), 1);
}

#[test]
fn last_month_is_that_before_the_last_collected_day() {
    let of = |from: &str, to: &str| {
        let (from, to) = (format!("from={from}"), format!("to={to}"));
        rows(&[
            "pull_requests/slowest_reviews",
            "--param",
            &from,
            "--param",
            &to,
            "--param",
            "n=5",
        ])
    };
    let last_month = of("last month", "this month");
    assert_eq!(last_month, of("2026-10-01", "2026-11-01"));
    assert_eq!(last_month.len(), 5);
}

#[test]
fn a_refused_time_says_what_it_takes() {
    let error = refusal(&["dora/lead_time", "--param", "from=soon"]);
    assert!(
        error.starts_with("error: `soon` is not a time (param=from): write a date (2026-10-01)"),
        "{error}"
    );
    let error = refusal(&[
        "dora/lead_time",
        "--param",
        "from=2026-10",
        "--param",
        "to=2026-10",
    ]);
    assert!(
        error
            .contains("is not before `to` (2026-10): a date or month stands for its first instant"),
        "{error}"
    );
    let error = refusal(&["pull_requests/oldest_open", "--param", "n=many"]);
    assert!(
        error.contains("is not a bigint (param=n): write a whole number, such as 10"),
        "{error}"
    );
}

#[test]
fn a_result_without_rows_says_why() {
    for (args, reason) in [
        (
            vec!["component_and_file_metrics/files_by_authors"],
            "domain.commit_files is empty (`commits = \"git\"`",
        ),
        (
            vec![
                "dora/failures",
                "--param",
                "from=2030-01",
                "--param",
                "project=checkout",
            ],
            "no row has project=checkout, from=2030-01; the lake has 2026-01-31 to 2026-11-",
        ),
        (
            vec!["--sql", "SELECT 1 WHERE false"],
            "no row meets the conditions of the query",
        ),
    ] {
        let (code, _, error) = query(&args);
        assert!(
            code == 0 && error.contains(&format!("no rows: {reason}")),
            "{args:?}: {error}"
        );
    }
}

#[tokio::test]
async fn a_lake_without_teams_says_so() {
    let outside = Outside::new().csv("domain.repos", "id,name\nr1,checkout-api\n");
    outside.transform(&["config", "domain"]).await.unwrap();
    let (code, _, error) = query_of(&outside.root(), &["dora_by_team/overall"]);
    let reason = "no rows: domain.teams is empty (`[org]` in bitlake.toml names the teams and their members)";
    assert!(code == 0 && error.contains(reason), "{error}");
    let team = ["work_logs/code_commits", "--param", "team=x"];
    let (code, _, error) = query_of(&outside.root(), &team);
    let refused = "this lake has no teams (param=team): name teams";
    assert!(code == 2 && error.contains(refused), "{error}");
}

#[test]
fn sql_is_read_from_a_file_and_from_stdin_with_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("repos.sql");
    let sql = "-- param: slug varchar = acme/platform\nSELECT name FROM domain.repos WHERE name IN ($slug, $other) ORDER BY name";
    std::fs::write(&file, sql).unwrap();
    let from_file = format!("@{}", file.display());
    let found = rows(&["--sql", &from_file, "--param", "other=acme/checkout-web"]);
    assert_eq!(found, ["acme/checkout-web", "acme/platform"]);
    let error = refusal(&["--sql", &from_file]);
    assert!(
        error
            .contains("a parameter of the SQL has no value (param=other): add --param other=VALUE"),
        "{error}"
    );
    assert!(refusal(&["--sql", "@nowhere.sql"]).contains("cannot read the SQL (file=nowhere.sql)"));
    assert!(refusal(&["--sql", " "]).contains("the SQL is empty"));

    let mut program = Command::new(env!("CARGO_BIN_EXE_bitlake"))
        .args([
            "--lake",
            demo_lake().to_str().unwrap(),
            "query",
            "--format",
            "csv",
            "--sql",
            "-",
        ])
        .args(["--param", "least=100"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sql = b"SELECT count(*) > 0 FROM domain.pull_requests WHERE pull_request_key < $least";
    program.stdin.take().unwrap().write_all(sql).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(
        text(&output.stdout).ends_with("\ntrue\n"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn tables_and_columns_are_shown_and_suggested() {
    let tables = rows(&["--sql", "SHOW TABLES FROM metrics"]);
    assert!(
        tables
            .iter()
            .any(|line| line.starts_with("metrics.dora_classes,"))
    );
    let columns = rows(&["--sql", "DESCRIBE domain.repos"]);
    assert!(
        columns
            .iter()
            .any(|line| line.starts_with("size_bytes,bigint,yes,bytes,"))
    );
    for (sql, expected) in [
        (
            "SELECT 1 FROM domain.repo",
            "there is no such table (table=domain.repo): did you mean `domain.repos`",
        ),
        (
            "DESCRIBE domain.repo",
            "there is no such table (table=domain.repo): did you mean `domain.repos`",
        ),
        (
            "SHOW TABLES FROM domian",
            "there is no such layer (layer=domian): did you mean `domain`?",
        ),
        (
            "SELECT urls FROM domain.repos",
            "there is no such column (column=urls): did you mean `url`",
        ),
        (
            "SELECT 1 FROM repos",
            "not a table of the form `layer.table` (name=repos): did you mean `domain.repos`",
        ),
    ] {
        let error = refusal(&["--sql", sql]);
        assert!(error.starts_with(&format!("error: {expected}")), "{error}");
        assert!(
            !error.contains("datafusion") && error.len() < 300,
            "{error}"
        );
    }
}
