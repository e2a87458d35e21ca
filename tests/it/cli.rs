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
    exit 2
    --- stdout
    --- stderr
    error: there is no lake here yet (lake=nowhere): run `bitlake run` first, or correct `lake.url`
    ");
}

#[test]
fn a_missing_configuration_says_what_to_do() {
    insta::assert_snapshot!(transcript(&["--config", "nowhere.toml", "run"]));
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
const MASKS: [(&str, &str); 7] = [
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\d{8}T\d{6}Z?-[0-9a-z]+", "RUN"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d{4}-\d\d-\d\d to TIME", "DATE to TIME"),
    (r"/[^ ]*/lake\b", "LAKE"),
    (r"\b\d+(\.\d+)? (s|seconds|minutes|hours)\b", "DURATION"),
    // The seconds of a run, and the space up to the next column.
    (r"(TIME +)\d+ +", "${1}N  "),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_run_check_and_status_of_a_workspace() {
    let sandbox = Sandbox::builder().demo().start(0).await.unwrap();
    let repositories = "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n";
    let program = Program::beside(&sandbox, "auth = \"none\"", repositories);
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
