//! What the command line prints, as snapshots: a change of it shows in review.

use bitlake_sandbox::Sandbox;

use super::demo::{bitlake, demo_lake, text};
use super::program::Program;

/// Arguments → exit code, stdout, stderr; what moves from run to run is masked.
fn transcript(args: &[&str]) -> String {
    let output = bitlake(args);
    let masked = |bytes: &[u8]| {
        let lake = demo_lake().to_str().unwrap();
        text(bytes).replace(lake, "LAKE")
    };
    format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        masked(&output.stdout),
        masked(&output.stderr),
    )
}

fn over_the_demo(args: &[&str]) -> String {
    let lake = demo_lake().to_str().unwrap();
    transcript(&[&["--lake", lake], args].concat())
}

#[test]
fn help() {
    insta::assert_snapshot!(transcript(&["--help"]));
}

#[test]
fn tables_lists_every_table_with_its_description() {
    insta::assert_snapshot!(transcript(&["tables"]));
}

#[test]
fn tables_describes_one_table() {
    insta::assert_snapshot!(transcript(&["tables", "domain.pull_requests"]));
}

#[test]
fn a_misspelt_table_gets_a_suggestion() {
    insta::assert_snapshot!(transcript(&["tables", "domain.pullrequests"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: there is no such table (table=domain.pullrequests): did you mean `domain.pull_requests`?
    ");
}

#[test]
fn query_lists_the_bundled_questions() {
    insta::assert_snapshot!(transcript(&["query", "--list"]));
}

#[test]
fn the_dora_overview_of_the_demo() {
    insta::assert_snapshot!(over_the_demo(&["query", "dora/overview"]));
}

#[test]
fn a_query_writes_csv_and_json() {
    let sql =
        "SELECT status, count(*) AS n FROM domain.pull_requests GROUP BY status ORDER BY status";
    insta::assert_snapshot!(over_the_demo(&["query", "--sql", sql, "--format", "csv"]));
    insta::assert_snapshot!(over_the_demo(&["query", "--sql", sql, "--format", "json"]));
}

#[test]
fn a_query_writes_parquet_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("rows.parquet");
    let sql = "SELECT id FROM domain.repos";
    let args = [
        "query",
        "--sql",
        sql,
        "--format",
        "parquet",
        "--out",
        out.to_str().unwrap(),
    ];
    assert!(over_the_demo(&args).starts_with("exit 0"));
    assert_eq!(std::fs::read(&out).unwrap()[..4], *b"PAR1");
}

#[test]
fn a_query_only_reads() {
    insta::assert_snapshot!(over_the_demo(&["query", "--sql", "DROP TABLE domain.repos"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: the SQL is not one SELECT
    ");
}

#[test]
fn an_unknown_query_gets_a_suggestion() {
    insta::assert_snapshot!(over_the_demo(&["query", "dora/overvew"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: there is no such query (name=dora/overvew): did you mean `dora/overview`?
    ");
}

/// A folder with one query, `mine/merged`.
fn own_query() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let group = folder.path().join("reports/mine");
    std::fs::create_dir_all(&group).unwrap();
    let sql = "-- How many pull requests were merged?
-- Note: drafts count too.
-- param: project varchar[] = null   only these projects
-- param: interval varchar = month   one of: day, week, month
SELECT date_trunc($interval, p.merged_date) AS period, count(*) AS n
FROM domain.pull_requests AS p
WHERE $project IS NULL OR EXISTS (
    SELECT 1 FROM domain.project_mapping AS m
    WHERE m.\"table\" = 'repos' AND m.row_id = p.base_repo_id AND list_contains($project, m.project_name)
)
GROUP BY date_trunc($interval, p.merged_date)
ORDER BY period
";
    std::fs::write(group.join("merged.sql"), sql).unwrap();
    folder
}

fn own(args: &[&str]) -> String {
    let folder = own_query();
    let queries = folder.path().to_str().unwrap();
    over_the_demo(&[&["query", "mine/merged", "--queries", queries], args].concat())
}

#[test]
fn an_unknown_parameter_gets_a_suggestion() {
    insta::assert_snapshot!(own(&["--param", "projects=checkout"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: the query has no such parameter (param=projects): did you mean `project`?
    ");
}

#[test]
fn a_value_outside_a_closed_set_names_the_set() {
    insta::assert_snapshot!(own(&["--param", "interval=decade"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `decade` is not a known value (param=interval): it may be day, week, month
    ");
}

#[test]
fn a_project_that_the_lake_does_not_know_is_named_with_those_that_it_knows() {
    insta::assert_snapshot!(own(&["--param", "project=platform,chekout"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `chekout` is not a known value (param=project): did you mean `checkout`? the lake has checkout, platform
    ");
    let both = ["--param", "project=platform", "--param", "project=checkout"];
    assert!(own(&both).starts_with("exit 0"));
}

#[test]
fn a_query_is_printed_with_its_values_and_comments() {
    insta::assert_snapshot!(own(&["--param", "project=checkout", "--print"]));
}

#[test]
fn a_query_is_printed_in_another_dialect_without_what_it_does_not_need() {
    let args = [
        "--param",
        "interval=week",
        "--print",
        "--dialect",
        "bigquery",
    ];
    insta::assert_snapshot!(own(&args));
}

#[test]
fn a_lake_that_is_not_there_is_named() {
    insta::assert_snapshot!(transcript(&["--lake", "nowhere", "status"]), @r"
    exit 1
    --- stdout
    --- stderr
    error: there is no lake here yet (lake=nowhere): run `bitlake run` first, or correct --lake or `lake.url`
    ");
}

#[test]
fn a_missing_configuration_says_what_to_do() {
    insta::assert_snapshot!(transcript(&["--config", "nowhere.toml", "run"]));
}

/// The program in a folder without a configuration.
fn inside(folder: &std::path::Path, args: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bitlake"));
    let output = command.args(args).current_dir(folder).output().unwrap();
    format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn without_a_configuration_the_ways_to_a_lake_are_named() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(inside(folder.path(), &["query", "dora/overview"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: there is no bitlake.toml here, and no lake: name a lake with --lake or a configuration with --config, or create one with `bitlake init`
    ");
}

#[test]
fn a_lake_is_found_from_inside_of_it() {
    let sql = "SELECT count(*) AS n FROM domain.repos";
    insta::assert_snapshot!(inside(demo_lake(), &["query", "--sql", sql, "--format", "ndjson"]), @r#"
    exit 0
    --- stdout
    {"n":4}
    --- stderr
    "#);
}

#[test]
fn a_lake_without_tables_has_no_statements_and_says_that_nothing_was_collected() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("_bitlake")).unwrap();
    let shown = inside(folder.path(), &["ddl", "--dialect", "duckdb"]);
    let shown = shown.replace(folder.path().to_str().unwrap(), "LAKE");
    insta::assert_snapshot!(shown, @r"
    exit 1
    --- stdout
    --- stderr
    error: nothing was published to this lake yet (lake=LAKE): run `bitlake run` first; --create prints the create statements without a lake
    ");
    insta::assert_snapshot!(inside(folder.path(), &["status"]), @r"
    exit 0
    --- stdout
    no run has collected yet: start with `bitlake run`
    --- stderr
    ");
    std::fs::write(
        folder.path().join("bitlake.toml"),
        "[lake]\nurl = \"lake\"\n",
    )
    .unwrap();
    let shown = inside(folder.path(), &["transform"]);
    assert!(
        shown.contains("WARN the lake has no collected records"),
        "{shown}"
    );
}

#[test]
fn the_extension_of_a_file_is_its_format_and_bundled_columns_have_machine_names() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "SELECT 'a' AS \"failure rate %\", NULL AS none";
    for (name, own, bundled) in [
        (
            "x.csv",
            "failure rate %,none\na,\n",
            "project,period,deployments,per_week,lead_time_h,failure_rate_pct",
        ),
        (
            "x.json",
            "{\"failure rate %\":\"a\",\"none\":null}\n",
            "{\"project\":\"checkout\",\"period\":\"all\",\"deployments\":93,\"per_week\"",
        ),
        (
            "x.ndjson",
            "{\"failure rate %\":\"a\",\"none\":null}\n",
            "{\"project\":\"checkout\"",
        ),
        (
            "x.md",
            "| failure rate % | none |\n| --- | --- |\n| a |  |\n",
            "| project | period | deployments | per week |",
        ),
        (
            "x.txt",
            "failure rate %  none\n--------------  ----\na\n",
            "project   period   deployments  per week",
        ),
    ] {
        let out = folder.path().join(name);
        let out = out.to_str().unwrap();
        assert_eq!(
            over_the_demo(&["query", "--sql", sql, "--out", out]),
            "exit 0\n--- stdout\n--- stderr\n"
        );
        assert_eq!(std::fs::read_to_string(out).unwrap(), own, "{name}");
        over_the_demo(&["query", "dora/overview", "--out", out]);
        let text = std::fs::read_to_string(out).unwrap();
        assert!(text.starts_with(bundled), "{name}: {text}");
    }
}

#[test]
fn the_report_of_a_run_has_time_rows_and_memory_of_each_step() {
    let mut runs = std::fs::read_dir(demo_lake().join("_bitlake/runs")).unwrap();
    let report = std::fs::read(runs.next().unwrap().unwrap().path()).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let step = &report["transform"]["steps"]["dora.deployments"];
    assert!(step["rows"].as_u64() > Some(100), "{step}");
    assert!(step["milliseconds"].is_u64(), "{step}");
    if cfg!(target_os = "linux") {
        assert!(step["peak_memory_bytes"].as_u64() > Some(1 << 20), "{step}");
    }
}

#[test]
fn completions_and_man_pages_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man");
    assert!(transcript(&["completions", "bash"]).contains("bitlake__subcmd__transform"));
    assert!(transcript(&["man", "--out", out.to_str().unwrap()]).starts_with("exit 0"));
    let page = std::fs::read_to_string(out.join("bitlake-run.1")).unwrap();
    assert!(page.contains("deadline"), "{page}");
}

#[test]
fn commands_of_little_memory_accept_its_limit_and_do_not_show_it() {
    for command in ["sandbox", "tables", "completions"] {
        let help = transcript(&[command, "--help"]);
        assert!(!help.contains("memory-limit"), "{help}");
    }
    let shown = transcript(&["tables", "domain.repos", "--memory-limit", "1 GiB"]);
    assert!(shown.starts_with("exit 0"), "{shown}");
    assert!(transcript(&["query", "--help"]).contains("--memory-limit"));
}

#[test]
fn init_writes_a_configuration_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bitlake.toml");
    let args = ["--config", path.to_str().unwrap(), "init"];
    assert!(bitlake(&args).status.success());
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.contains("[[connection]]"));
    assert_eq!(
        bitlake(&args).status.code(),
        Some(2),
        "a second init does not overwrite"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
}

#[test]
fn status_shows_the_last_run_and_every_repository() {
    let shown = over_the_demo(&["status"]);
    for word in [
        "demo",
        "acme/checkout-web",
        "pull_requests",
        "complete",
        "absent",
    ] {
        assert!(shown.contains(word), "{word} is missing in\n{shown}");
    }
}

/// Replace what differs from run to run: the sandbox's port, times, run ids, durations and folders.
const MASKS: [(&str, &str); 10] = [
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\d{8}T\d{6}Z?-[0-9a-z]+", "RUN"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d{4}-\d\d-\d\d to TIME", "DATE to TIME"),
    (r"/[^ ]*/lake\b", "LAKE"),
    (r"\b\d+(\.\d+)? (s|seconds|minutes|hours)\b", "DURATION"),
    // The seconds of a run, and the space up to the next column.
    (r"TIME +\d+ +", "TIME  N  "),
    // Estimates and periods depend on the time since the end of the fixtures.
    (
        r"(?m)^([a-z_]+|acme/\S+ +first load) +\d+ +(< 1|\d+)$",
        "$1  N  N",
    ),
    (r"\d+ were planned", "N were planned"),
    (r"\d+ (published files|files written)", "N $1"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_run_check_and_status_of_a_workspace() {
    let sandbox = Sandbox::builder().demo().start(0).await.unwrap();
    // The default of `since` is relative to the clock.
    let rest = "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n[sync]\nsince = \"2026-02-01\"\n";
    let program = Program::beside(&sandbox, "auth = \"none\"", rest);
    let mut settings = insta::Settings::clone_current();
    for (pattern, mask) in MASKS {
        settings.add_filter(pattern, mask);
    }
    for command in ["plan", "run", "check", "status"] {
        let output = program.run(&[command], &[]).await;
        let shown = format!("exit {}\n--- stdout\n{}", output.code, output.stdout);
        settings.bind(|| insta::assert_snapshot!(format!("the_output_of_{command}"), shown));
    }
}
