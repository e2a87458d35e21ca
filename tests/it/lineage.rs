//! OpenLineage events of runs: to a server and to a file, as the published schema says, and never at the run's expense.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Json, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bitlake_sandbox::{AcceptedCredentials, Sandbox};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::program::{Program, ProgramOutput};
use super::python::Python;
use super::support::fixture;

const KEY: &str = "lineage-s3cr3t";
const PARENT: &str = "air/nightly.bitlake/0198b2a4-9f00-7000-8000-000000000001";

/// The events that a server got, each with the header of its credentials.
type Received = Arc<Mutex<Vec<(String, Value)>>>;

/// A lineage server that answers with one status.
async fn server(status: StatusCode) -> (String, Received) {
    let received = Received::default();
    let receive = async move |State(received): State<Received>,
                              headers: HeaderMap,
                              Json(event): Json<Value>| {
        let key = headers.get("authorization").map(|it| it.to_str().unwrap());
        let key = key.unwrap_or_default().to_owned();
        received.lock().unwrap().push((key, event));
        status
    };
    let app = Router::new()
        .route("/api/v1/lineage", post(receive))
        .with_state(Arc::clone(&received));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, received)
}

/// Run a command beside a small workspace, whose only valid token is `good`.
async fn run(command: &str, token: &str, env: &[(&str, &str)]) -> ProgramOutput {
    let sandbox = Sandbox::builder()
        .workspace_dir(fixture("quirks/approval_activity"))
        .credentials(AcceptedCredentials::bearer("good"));
    let sandbox = sandbox.start(0).await.unwrap();
    let connection = "auth = \"access-token\"\ntoken = { env = \"BITBUCKET_TOKEN\" }";
    let more = "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/web\"]\n[sync]\nsince = \"2026-01-01\"";
    let program = Program::beside(&sandbox, connection, more);
    let env = [&[("BITBUCKET_TOKEN", token)], env].concat();
    let output = program.run(&[command], &env).await;
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(KEY), "{text}");
    }
    output
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|it| it["eventType"].as_str().unwrap())
        .collect()
}

fn check(events: &[Value]) {
    let Some(python) = Python::with("lineage") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    python.run("check", &json!({"events": events}), folder.path());
}

fn named<'a>(datasets: &'a Value, end: &str) -> &'a Value {
    let datasets = datasets.as_array().unwrap();
    let found = datasets
        .iter()
        .find(|it| it["name"].as_str().unwrap().ends_with(end));
    found.unwrap_or_else(|| panic!("no {end} in {datasets:#?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_gets_the_start_and_the_end_of_a_run_with_its_tables_and_columns() {
    let (url, received) = server(StatusCode::CREATED).await;
    let env = [
        ("OPENLINEAGE_URL", url.as_str()),
        ("OPENLINEAGE_API_KEY", KEY),
        ("OPENLINEAGE_NAMESPACE", "metrics"),
        ("OPENLINEAGE_PARENT_ID", PARENT),
    ];
    let output = run("run", "good", &env).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(!output.stderr.contains("lineage"), "{}", output.stderr);
    let received = std::mem::take(&mut *received.lock().unwrap());
    let (keys, events): (Vec<_>, Vec<_>) = received.into_iter().unzip();
    assert_eq!(keys, [format!("Bearer {KEY}"), format!("Bearer {KEY}")]);
    assert_eq!(kinds(&events), ["START", "COMPLETE"]);
    assert_eq!(events[0]["run"]["runId"], events[1]["run"]["runId"]);
    check(&events);

    let end = &events[1];
    assert_eq!(end["job"]["namespace"], "metrics");
    assert_eq!(end["job"]["name"], "bitlake.run");
    let parent = &end["run"]["facets"]["parent"];
    assert_eq!(
        parent["job"],
        json!({"namespace": "air", "name": "nightly.bitlake"})
    );
    assert_eq!(
        named(&end["inputs"], "acme/web")["namespace"],
        "https://bitbucket.org"
    );
    let requests = named(&end["outputs"], "/lake/domain/pull_requests");
    assert_eq!(requests["namespace"], "file");
    let sources = &requests["facets"]["columnLineage"]["fields"]["title"]["inputFields"];
    assert_eq!(sources[0]["field"], "title");
    assert!(
        sources[0]["name"]
            .as_str()
            .unwrap()
            .ends_with("/lake/bitbucket/pull_requests")
    );
    assert_eq!(requests["outputFacets"]["outputStatistics"]["rowCount"], 1);
    named(&end["outputs"], "/lake/bitbucket/pull_requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_or_does_not_answer_costs_a_warning_only() {
    let (refusing, received) = server(StatusCode::INTERNAL_SERVER_ERROR).await;
    for url in [refusing.as_str(), "http://127.0.0.1:9"] {
        let env = [("OPENLINEAGE_URL", url), ("OPENLINEAGE_API_KEY", KEY)];
        let output = run("run", "good", &env).await;
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(
            output.stderr.contains("lineage of this run was not sent"),
            "{}",
            output.stderr
        );
    }
    assert_eq!(received.lock().unwrap().len(), 2);
    let output = run("run", "good", &[("OPENLINEAGE_URL", "nonsense")]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stderr.contains("OPENLINEAGE_URL is not"),
        "{}",
        output.stderr
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_gets_the_failure_of_a_run_with_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lineage.ndjson");
    let env = [
        ("OPENLINEAGE__TRANSPORT__TYPE", "file"),
        (
            "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH",
            path.to_str().unwrap(),
        ),
        ("AIRFLOW_CTX_DAG_ID", "nightly"),
        ("AIRFLOW_CTX_TASK_ID", "collect"),
        ("AIRFLOW_CTX_DAG_RUN_ID", "scheduled__2026-11-24"),
    ];
    let output = run("collect", "bad", &env).await;
    assert_eq!(output.code, 3, "{}", output.stderr);
    let text = std::fs::read_to_string(&path).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(kinds(&events), ["START", "FAIL"]);
    let facets = &events[1]["run"]["facets"];
    assert_eq!(facets["parent"]["job"]["name"], "nightly.collect");
    assert!(
        !facets["errorMessage"]["message"]
            .as_str()
            .unwrap()
            .is_empty()
    );
    check(&events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_and_a_report_that_cannot_be_written_end_in_a_failure() {
    let connection = "auth = \"access-token\"\ntoken = { env = \"BITBUCKET_TOKEN\" }";
    for damaged in ["_bitlake/state/1/damaged.json", "_bitlake/runs"] {
        let program = Program::new("http://127.0.0.1:9/2.0", connection, "");
        let file = program.folder.path().join("lake").join(damaged);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "{").unwrap();
        let path = program.folder.path().join("lineage.ndjson");
        let env = [
            ("OPENLINEAGE__TRANSPORT__TYPE", "file"),
            (
                "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH",
                path.to_str().unwrap(),
            ),
        ];
        let output = program.run(&["transform"], &env).await;
        assert_eq!(output.code, 5, "{damaged}: {}", output.stderr);
        let text = std::fs::read_to_string(&path).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let events: Vec<Value> = events.collect();
        assert_eq!(kinds(&events), ["START", "FAIL"], "{damaged}");
        let runs = program.folder.path().join("lake/_bitlake/runs");
        let reports = std::fs::read_dir(runs).map_or(0, Iterator::count);
        assert_eq!(reports, usize::from(damaged != "_bitlake/runs"));
    }
}
