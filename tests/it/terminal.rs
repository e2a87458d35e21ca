//! What the program shows to people cannot steer their terminal, and a query ends within its limits.

use bitlake_sandbox::{Fault, Sandbox};
use serde_json::json;

use super::answers::workspace;
use super::demo::{bitlake, demo_lake, text};
use super::program::{Program, ProgramOutput};

/// Clears the screen, forges a line, turns the reading direction.
const HOSTILE: &str = "\u{1b}[2J\r\nok  acme/forged\u{9b}31m\u{202e}\u{2028}";

/// Nothing of it is obeyed, and it is there to be read.
fn is_shown(finished: &ProgramOutput) {
    for shown in [&finished.stdout, &finished.stderr] {
        let steers = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2028}".contains(c);
        assert!(!shown.chars().any(steers), "{shown:?}");
        assert!(
            !shown
                .lines()
                .any(|line| line.starts_with("ok  acme/forged")),
            "{shown}"
        );
    }
    let all = [finished.stdout.as_str(), &finished.stderr].concat();
    assert!(all.contains(r"\u{202e}"), "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn printed_text_cannot_control_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    workspace::write(folder.path());
    let issues = folder.path().join("acme/web/issues.jsonl");
    let bent = std::fs::read_to_string(&issues).unwrap();
    let title = json!(HOSTILE).to_string();
    std::fs::write(
        &issues,
        bent.replace("\"title\":\"t\"", &format!("\"title\":{title}")),
    )
    .unwrap();
    let sandbox = Sandbox::builder()
        .workspace_dir(folder.path())
        .start(0)
        .await
        .unwrap();
    let refused = json!({"type": "error", "error": {"message": HOSTILE}});
    sandbox.inject(Fault::on("/web/deployments/").status(418).body(refused));
    let program = Program::beside(
        &sandbox,
        "auth = \"access-token\"\ntoken = { env = \"TOKEN\" }",
        "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n[sync]\nsince = \"2026-01-01\"\n",
    );
    let env = [("TOKEN", "secret")];
    for command in ["check", "run", "status"] {
        is_shown(&program.run(&[command], &env).await);
    }
    let sql = ["query", "--sql", "SELECT title FROM domain.issues"];
    let finished = program.run(&sql, &env).await;
    is_shown(&finished);
    assert_eq!(finished.stdout.lines().count(), 3, "{}", finished.stdout);
    let csv = program
        .run(&[&sql[..], &["--format", "csv"]].concat(), &env)
        .await;
    assert!(csv.stdout.contains(HOSTILE), "{:?}", csv.stdout);
    let json = program
        .run(&[&sql[..], &["--format", "json"]].concat(), &env)
        .await;
    let row: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(row["title"], HOSTILE);

    let listed = json!([{"full_name": format!("acme/{HOSTILE}"), "updated_on": HOSTILE, "project": {"key": HOSTILE}}]);
    sandbox.inject(Fault::on("/repositories/acme?").set("values", listed));
    is_shown(&program.run(&["repos"], &env).await);
}

fn query(sql: &str, more: &[&str]) -> (i32, String, String) {
    let lake = demo_lake().to_str().unwrap();
    let output = bitlake(&[&["--lake", lake, "query", "--sql", sql], more].concat());
    let code = output.status.code().expect("ended by a signal");
    (code, text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_query_that_does_not_end_is_stopped() {
    let million = "generate_series(1, 1000000)";
    let cross = format!("SELECT count(*) FROM {million} AS a, {million} AS b, {million} AS c");
    let alone = "SELECT levenshtein(repeat('x', 300000), repeat('y', 300000))";
    for sql in [cross.as_str(), alone] {
        let (code, _, error) = query(sql, &["--timeout", "1s"]);
        assert_eq!(code, 2, "{error}");
        assert_eq!(
            error,
            "error: the query exceeds its time limit (timeout=1s): \
             query less data, or raise --timeout\n"
        );
    }
}

#[test]
fn a_query_that_takes_too_much_memory_is_stopped() {
    let million = "generate_series(1, 1000000)";
    let rows = format!(
        "SELECT a.value, b.value, 'a text of some length' FROM {million} AS a, {million} AS b"
    );
    for sql in [rows.as_str(), "SELECT length(repeat('x', 2000000000))"] {
        let (code, _, error) = query(sql, &["--memory-limit", "1 GiB", "--format", "csv"]);
        assert_eq!(code, 2, "{error}");
        assert!(
            error.starts_with("error: the query exceeds the memory limit (memory_limit=1024 MiB)"),
            "{error}"
        );
        assert!(error.contains("--memory-limit"), "{error}");
    }
}

#[test]
fn a_deep_query_is_an_error() {
    for (first, link) in [
        ("1", "+1"),
        ("true", " OR true"),
        ("1", "::int"),
        ("1", " EXCEPT SELECT 1"),
    ] {
        let (code, _, error) = query(&format!("SELECT {first}{}", link.repeat(6_000)), &[]);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains("nested too deeply"), "{error}");
    }
}

#[test]
fn a_query_that_writes_is_refused() {
    for sql in [
        "SELECT 1 AS a INTO domain.t",
        "WITH x AS (SELECT 1 AS a INTO t) SELECT * FROM x",
        "WITH x AS (SELECT 1) DELETE FROM domain.repos",
        "COPY (SELECT 1) TO 'x.parquet'",
        "EXPLAIN ANALYZE SELECT 1",
        "SET datafusion.execution.batch_size = 1",
    ] {
        let (code, out, error) = query(sql, &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{sql}: {error}");
    }
}

#[test]
fn formulas_are_marked_in_a_csv_where_asked() {
    let sql = "SELECT '=1+1' AS a, -2 AS b, '-2' AS c";
    let (_, plain, _) = query(sql, &["--format", "csv"]);
    assert_eq!(plain, "a,b,c\n=1+1,-2,-2\n");
    let (_, safe, _) = query(sql, &["--format", "csv", "--csv-safe"]);
    assert_eq!(safe, "a,b,c\n'=1+1,-2,-2\n");
    let (code, _, error) = query(sql, &["--csv-safe"]);
    assert_eq!(code, 2, "{error}");
}

/// Run the program in a terminal of 80 columns, and return what it writes to stdout there. `None` without util-linux's
/// `script`.
fn in_a_terminal(args: &str) -> Option<String> {
    let program = env!("CARGO_BIN_EXE_bitlake");
    let command = format!("stty cols 80 rows 24; '{program}' {args} 2>/dev/null");
    let output = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(std::process::Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| text(&output.stdout))
}

#[test]
fn nothing_is_wider_than_a_terminal_of_80_columns() {
    let lake = demo_lake().to_str().unwrap();
    for args in [
        "query dora/overview",
        "query dora/classes",
        "query dora/failures",
        "query pull_requests/slowest_reviews",
        "query dora_details/lead_time_mean",
        "query --list",
        "status",
        "tables",
        "tables domain.pull_requests",
        "--help",
        "run -h",
        "query --help",
    ] {
        let Some(shown) = in_a_terminal(&format!("{args} --lake '{lake}'")) else {
            eprintln!("skipped: `script` is missing or failed for {args}");
            assert!(std::env::var_os("CI").is_none());
            continue;
        };
        for line in shown.lines() {
            let width = console::measure_text_width(line.trim_end());
            assert!(width <= 80, "{args}: {width} columns: {line}");
        }
        assert!(shown.lines().count() > 3, "{args}: {shown}");
    }
}
