//! `[metrics] textfile`: every run leaves metrics that Prometheus accepts.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bitlake_sandbox::Sandbox;

use super::answers::workspace;
use super::program::Program;

const CONNECTION: &str = "auth = \"access-token\"\ntoken = { env = \"TOKEN\" }";
const TOKEN: [(&str, &str); 1] = [("TOKEN", "secret")];

/// Return the sections of a configuration that writes the metrics to `path`.
fn sections(path: &str) -> String {
    format!(
        "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n[sync]\nsince = \"2026-01-01\"\n\
         [metrics]\ntextfile = {path:?}\n"
    )
}

async fn sandbox() -> Sandbox {
    let folder = tempfile::tempdir().unwrap();
    workspace::write(folder.path());
    let builder = Sandbox::builder().workspace_dir(folder.path());
    builder.start(0).await.unwrap()
}

/// Let promtool check `metrics`. Return false where it is not installed.
fn is_accepted_by_promtool(metrics: &str) -> bool {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return false;
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(metrics.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let findings = [output.stdout, output.stderr].concat();
    let findings = String::from_utf8(findings).unwrap();
    assert!(output.status.success() && findings.is_empty(), "{findings}");
    true
}

fn value(metrics: &str, series: &str) -> Option<f64> {
    let mut lines = metrics.lines();
    let found = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map(|it| it.parse().unwrap())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_writes_its_metrics() {
    let sandbox = sandbox().await;
    let program = Program::beside(&sandbox, CONNECTION, &sections("bitlake.prom"));
    let finished = program.run(&["run"], &TOKEN).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);

    let metrics = read(&program.folder.path().join("bitlake.prom"));
    assert!(
        !program.folder.path().join("bitlake.prom.part").exists(),
        "the temporary file is renamed"
    );
    let is_shown = |line: &&str| {
        let is_row = line.starts_with("bitlake_table_rows");
        !is_row || line.contains("\"bitbucket.commits\"") || line.contains("\"domain.commits\"")
    };
    let shown: Vec<_> = metrics.lines().filter(is_shown).collect();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(_timestamp_seconds(?:\{[^}]*\})?) \d{10}\b", "$1 TIME");
    settings.add_filter(r"(_duration_seconds\{[^}]*\}) \d+\.\d{3}\b", "$1 SECONDS");
    settings.bind(|| insta::assert_snapshot!(shown.join("\n")));

    if !is_accepted_by_promtool(&metrics) {
        eprintln!("skipped: promtool is not installed (Debian's package `prometheus`)");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_replaces_the_metrics() {
    let sandbox = sandbox().await;
    let program = Program::beside(&sandbox, CONNECTION, &sections("bitlake.prom"));
    let file = program.folder.path().join("bitlake.prom");
    for _ in 0..2 {
        let finished = program.run(&["run"], &TOKEN).await;
        assert_eq!(finished.code, 0, "{}", finished.stderr);
    }
    // The second run found all tables unchanged.
    let first = read(&file);
    assert!(
        value(&first, "bitlake_published_timestamp_seconds")
            >= value(&first, "bitlake_run_start_timestamp_seconds"),
        "{first}"
    );

    let lost = "http://127.0.0.1:9/2.0";
    program.configure(lost, CONNECTION, &sections("bitlake.prom"));
    let failed = program.run(&["run"], &TOKEN).await;
    assert_ne!(failed.code, 0);
    let second = read(&file);
    let code = value(&second, "bitlake_run_exit_code");
    assert_eq!(code, Some(f64::from(failed.code)), "{second}");
    assert!(value(&second, "bitlake_run_duration_seconds{phase=\"collect\"}").is_some());
    for unchanged in [
        "bitlake_published_timestamp_seconds",
        "bitlake_list_complete_timestamp_seconds{list=\"commits\"}",
    ] {
        assert!(value(&first, unchanged).is_some(), "{first}");
        assert_eq!(value(&first, unchanged), value(&second, unchanged));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_that_cannot_be_written_make_a_complete_run_incomplete() {
    let sandbox = sandbox().await;
    let program = Program::beside(&sandbox, CONNECTION, &sections("gone/bitlake.prom"));
    let finished = program.run(&["run"], &TOKEN).await;
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    let warning = "the metrics are not written";
    assert!(finished.stderr.contains(warning), "{}", finished.stderr);
    let checked = program.run(&["check"], &TOKEN).await;
    assert!(
        checked.stdout.contains("correct `[metrics] textfile`"),
        "{}",
        checked.stdout
    );

    let refused = program.run(&["run"], &[]).await;
    assert!(
        refused.code > 1 && refused.stderr.contains(warning),
        "the code of a failed run remains: {}",
        refused.stderr
    );
}
