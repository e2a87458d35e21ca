//! A transform on workers publishes the bytes of one process, also if a worker dies.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use bitlake::cluster::{Cluster, UseOfWorkers, WorkerServer};
use bitlake::config::Config;
use bitlake::engine::{Engine, Param, declared_params};
use bitlake::lake::{Lake, SharedFiles};
use bitlake::transform::{
    TransformEvent, TransformListener, TransformOptions, open_published, reports,
};
use bitlake_sandbox::Sandbox;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::error::DataFusionError;
use futures::TryStreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use url::Url;

use super::demo::{demo_lake, text};
use super::killed::{configuration, workspace};
use super::stores;
use super::support::{at, copy};

/// A copy of the demo's lake, with a configuration.
struct DemoCopy {
    folder: TempDir,
}

impl DemoCopy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(demo_lake(), &folder.path().join("lake"));
        let config = include_str!("../../src/cli/demo/bitlake.toml")
            .replace("LAKE", "lake")
            .replace("ENDPOINT", "http://127.0.0.1:1/2.0");
        std::fs::write(folder.path().join("bitlake.toml"), config).unwrap();
        Self { folder }
    }

    fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("bitlake.toml")
    }

    /// Return the SHA-256 of every published file but those that number the runs.
    fn sums(&self) -> BTreeMap<String, String> {
        let mut sums = BTreeMap::new();
        add_sums(&self.lake(), &self.lake(), &mut sums);
        sums.retain(|path, _| {
            !path.starts_with("_bitlake") && !path.starts_with("metrics/history")
        });
        assert!(sums.len() > 200);
        sums
    }

    /// Make every table again, on these workers.
    fn transform(&self, workers: &[&str], more: &[&str]) -> Output {
        transform(&self.config(), workers, more).output().unwrap()
    }
}

fn add_sums(root: &Path, folder: &Path, sums: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_sums(root, &path, sums);
        } else {
            let digest = Sha256::digest(std::fs::read(&path).unwrap());
            let name = path.strip_prefix(root).unwrap().display().to_string();
            sums.insert(name, format!("{digest:x?}"));
        }
    }
}

fn bitlake(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitlake"));
    command
        .args(["--config", config.to_str().unwrap()])
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("TOKEN", "t")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn transform(config: &Path, workers: &[&str], more: &[&str]) -> Command {
    let mut command = bitlake(config);
    command.args(["--log-format", "json", "transform", "--full"]);
    if !workers.is_empty() {
        command.args(["--workers", &workers.join(",")]);
    }
    command.args(more).stderr(Stdio::piped());
    command
}

/// Return the report that a run printed.
fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `bitlake worker`, until it is dropped.
struct WorkerProcess {
    process: Child,
    url: String,
}

impl WorkerProcess {
    fn start(config: &Path) -> Self {
        Self::start_at(config, "127.0.0.1:0")
    }

    fn start_at(config: &Path, address: &str) -> Self {
        let mut command = bitlake(config);
        command.args(["worker", "--listen", address]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        Self { process, url }
    }

    async fn status(&self) -> Value {
        let reply = reqwest::get(format!("{}/status", self.url)).await.unwrap();
        serde_json::from_str(&reply.text().await.unwrap()).unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn two_workers_do_the_work_and_the_published_bytes_are_those_of_one_process() {
    let demo = DemoCopy::new();
    report(&demo.transform(&[], &[]));
    let alone = demo.sums();
    let workers = [
        WorkerProcess::start(&demo.config()),
        WorkerProcess::start(&demo.config()),
    ];
    let urls = [workers[0].url.as_str(), workers[1].url.as_str()];
    let report = report(&demo.transform(&urls, &[]));
    assert_eq!(alone, demo.sums());

    let transform = &report["transform"];
    for (worker, url) in transform["workers"].as_array().unwrap().iter().zip(urls) {
        assert_eq!(worker["url"], json!(format!("{url}/")));
        assert!(worker["rows"].as_u64().unwrap() > 1000, "{worker}");
        assert!(worker["tasks"].as_u64().unwrap() > 100, "{worker}");
        if cfg!(target_os = "linux") {
            assert!(
                worker["cpu_milliseconds"].as_u64().unwrap() > 100,
                "{worker}"
            );
        }
    }
    let local = transform["on_coordinator"].as_object().unwrap();
    assert!(local.contains_key("dora.reverts"), "it is recursive");
    assert_eq!(
        local["dora.incidents"],
        json!("a window function ignores nulls")
    );
    let reasons = local.values().map(|reason| reason.as_str().unwrap());
    let failed: Vec<_> = reasons.filter(|it| it.contains("fails")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(local.len() < 35, "{local:#?}");
    assert!(!demo.lake().join("_bitlake/staging").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_in_the_middle_of_a_step_costs_nothing_but_time() {
    let demo = DemoCopy::new();
    let only = ["--only", "dora,metrics"];
    report(&demo.transform(&[], &only));
    let alone = demo.sums();
    let workers = [
        WorkerProcess::start(&demo.config()),
        WorkerProcess::start(&demo.config()),
    ];
    let urls = [workers[0].url.as_str(), workers[1].url.as_str()];
    let mut command = transform(&demo.config(), &urls, &only);
    let run = command.stdout(Stdio::piped()).spawn().unwrap();
    while workers[1].status().await["tasks"] == json!(0) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // A step that needs the worker waits for it now.
    workers[1].signal("-STOP");
    tokio::time::sleep(Duration::from_millis(500)).await;
    workers[1].signal("-KILL");
    let output = tokio::task::spawn_blocking(|| run.wait_with_output().unwrap());
    let report = report(&output.await.unwrap());
    assert_eq!(alone, demo.sums());
    let workers = &report["transform"]["workers"];
    assert!(workers[1]["lost"].is_string(), "{workers}");
    assert!(workers[0]["lost"].is_null(), "{workers}");
    assert!(workers[0]["tasks"].as_u64().unwrap() > 50, "{workers}");
}

#[test]
fn a_run_goes_on_without_a_worker_that_does_not_answer_and_ends_if_none_does() {
    let demo = DemoCopy::new();
    let before = demo.sums();
    let gone = "http://127.0.0.1:9";
    let output = demo.transform(&[gone], &[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(gone) && stderr.contains("bitlake worker"),
        "{stderr}"
    );
    let both = demo.transform(&[gone, "http://127.0.0.1:19"], &[]);
    let stderr = text(&both.stderr);
    assert_eq!(both.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("workers=http://127.0.0.1:9/, http://127.0.0.1:19/"),
        "{stderr}"
    );
    assert_eq!(before, demo.sums(), "nothing is published");

    let worker = WorkerProcess::start(&demo.config());
    let output = demo.transform(&[gone, &worker.url], &["--only", "metrics"]);
    let report = report(&output);
    assert!(text(&output.stderr).contains("cannot reach a worker"));
    let workers = &report["transform"]["workers"];
    assert!(workers[0]["lost"].is_string(), "{workers}");
    assert!(workers[1]["tasks"].as_u64().unwrap() > 0, "{workers}");
}

/// Serve this as the status of a worker, and return its URL.
async fn serve_status(status: Value) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/status", get(move || std::future::ready(Json(status))));
    tokio::spawn(async { axum::serve(listener, app).await });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_another_build_is_refused_and_so_is_another_server() {
    let demo = DemoCopy::new();
    let before = demo.sums();
    let worker = WorkerProcess::start(&demo.config());
    let mut status = worker.status().await;
    let this = status["build"].as_str().unwrap().to_owned();
    assert!(this.starts_with(env!("CARGO_PKG_VERSION")), "{this}");
    status["build"] = json!("0.0.9-other");
    let other = serve_status(status).await;
    let stranger = serve_status(json!({"hello": "world"})).await;
    for (url, expected) in [
        (other, vec!["0.0.9-other", this.as_str(), "same program"]),
        (stranger, vec!["not a worker of bitlake"]),
    ] {
        let output = demo.transform(&[&worker.url, &url], &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&url), "{stderr}");
        for part in expected {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
    assert_eq!(before, demo.sums(), "nothing is published");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_does_not_see_the_lake_is_refused_and_it_serves_no_other_file() {
    let demo = DemoCopy::new();
    let worker = WorkerProcess::start(&demo.config());
    let blind = serve_status(worker.status().await).await;
    let output = demo.transform(&[&worker.url, &blind], &[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for part in [&blind, "a worker sees another lake", "lake.url"] {
        assert!(stderr.contains(part), "{stderr}");
    }

    let lake = demo.lake().canonicalize().unwrap();
    let folder = lake.join("_bitlake/staging/run");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("lake-check"), "x").unwrap();
    std::fs::write(folder.join("0.parquet"), "x").unwrap();
    for (file, is_served) in [
        ("_bitlake/staging/run/lake-check", true),
        ("_bitlake/staging/run/0.parquet", false),
        ("_bitlake/manifest.json", false),
    ] {
        let url = format!(
            "{}/status?file=file://{}/{file}",
            worker.url,
            lake.display()
        );
        let reply = reqwest::get(url).await.unwrap().text().await.unwrap();
        let status: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(status["file"].is_string(), is_served, "{file}: {reply}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_reply_is_no_answer_and_a_worker_that_is_named_twice_is_one() {
    let demo = DemoCopy::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let refuse = || std::future::ready(axum::http::StatusCode::SERVICE_UNAVAILABLE);
    let app = Router::new().route("/status", get(refuse));
    tokio::spawn(async { axum::serve(listener, app).await });
    let worker = WorkerProcess::start(&demo.config());
    let urls = [proxy.as_str(), &worker.url, &worker.url];
    let report = report(&demo.transform(&urls, &["--only", "metrics"]));
    let workers = report["transform"]["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2, "{workers:?}");
    let lost = workers[0]["lost"].as_str().unwrap();
    assert!(lost.contains("503"), "{lost}");
}

/// The process at the worker's address is another one before its first step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_a_restarted_worker_computed_is_made_again() {
    let demo = DemoCopy::new();
    let worker = WorkerProcess::start(&demo.config());
    let url = Url::parse(&worker.url).unwrap();
    let address = worker.url.trim_start_matches("http://").to_owned();
    let config = demo.config();
    let running = Mutex::new((false, Some(worker)));
    let listener = TransformListener::new(move |event| {
        let mut running = running.lock().unwrap();
        if matches!(event, TransformEvent::Started { .. }) && !running.0 {
            drop(running.1.take());
            *running = (true, Some(WorkerProcess::start_at(&config, &address)));
        }
    });
    let options = TransformOptions {
        workers: vec![url],
        listener,
        ..TransformOptions::default()
    };
    let local = transform_with(&demo, options).await;
    let alone = local.values().filter(|it| *it == "no worker is left");
    assert!(alone.count() > 3, "{local:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_without_workers_that_are_lost_while_it_collects() {
    let demo = DemoCopy::new();
    let options = TransformOptions {
        workers: vec![Url::parse("http://127.0.0.1:9").unwrap()],
        may_lack_workers: true,
        ..TransformOptions::default()
    };
    let local = transform_with(&demo, options).await;
    let alone = local.values().filter(|it| *it == "no worker is left");
    assert!(alone.count() > 3, "{local:#?}");
}

#[test]
fn a_worker_ends_with_0_when_it_is_asked_to() {
    let demo = DemoCopy::new();
    let mut worker = WorkerProcess::start(&demo.config());
    worker.signal("-TERM");
    assert_eq!(worker.process.wait().unwrap().code(), Some(0));
}

/// Make the tables of `dora` again in this process, and return the run report's reasons for steps on the coordinator.
async fn transform_here(demo: &DemoCopy, workers: Vec<Url>) -> BTreeMap<String, String> {
    let options = TransformOptions {
        workers,
        ..TransformOptions::default()
    };
    transform_with(demo, options).await
}

/// As [`transform_here`], with more options.
async fn transform_with(demo: &DemoCopy, options: TransformOptions) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(demo.config()).unwrap();
    let config = Config::parse(&text, &demo.config(), &BTreeMap::new(), &[]).unwrap();
    let lake = Lake::create(&config.lake.url, &config.lake.options).unwrap();
    let lock = lake.lock().unwrap();
    let options = TransformOptions {
        only: Some(["dora".to_owned()].into()),
        full: true,
        ..options
    };
    let run_id = "20261124T100000Z-cluster";
    let now = at("2026-11-24T10:00:00Z");
    let report = bitlake::transform::transform(&config, &lake, &lock, run_id, now, &options).await;
    report.unwrap().on_coordinator
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_exceeds_the_memory_of_the_workers_runs_on_the_coordinator() {
    let demo = DemoCopy::new();
    transform_here(&demo, Vec::new()).await;
    let alone = demo.sums();
    // Less than the command line accepts, and than a sort needs.
    let engine = Engine::new(Some(4 << 20)).unwrap();
    let server = WorkerServer {
        session: engine.worker_session(),
        memory_limit: engine.memory_limit(),
    };
    let worker = server.listen("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", worker.address())).unwrap();
    tokio::spawn(worker.serve(std::future::pending()));
    let local = transform_here(&demo, vec![url]).await;
    assert_eq!(alone, demo.sums());
    let short = local
        .values()
        .filter(|it| *it == "the workers need more memory");
    assert!(short.count() > 3, "{local:#?}");
}

/// Run a query, and return its rows as sorted text.
async fn rows(
    engine: &Engine,
    sql: &str,
    params: &[Param],
    folder: &Path,
) -> Result<Vec<String>, DataFusionError> {
    let query = engine.plan_shared(sql, params).await.unwrap();
    let query = query.optimize()?;
    let rows = query.execute(folder).await?;
    let rows: Vec<_> = rows.try_collect().await?;
    let table = pretty_format_batches(&rows).unwrap().to_string();
    let mut lines: Vec<_> = table.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

/// The bundled queries have more constructs than the steps, as the steps of users may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bundled_query_has_the_same_rows_on_workers() {
    let demo = DemoCopy::new();
    let text = std::fs::read_to_string(demo.config()).unwrap();
    let config = Config::parse(&text, &demo.config(), &BTreeMap::new(), &[]).unwrap();
    let lake = Lake::create(&config.lake.url, &config.lake.options).unwrap();
    let urls = workers_here(2).await;
    let files = SharedFiles::new(&lake, "20261124T100000Z-queries");
    let scratch = tempfile::tempdir_in(demo.lake()).unwrap();
    let cluster = Cluster::connect(&urls, files, false).await.unwrap();
    let engine = open_published(&lake, None).await.unwrap();
    let used = UseOfWorkers::default();
    let (mut differing, mut refused, mut compared) = (Vec::new(), Vec::new(), 0);
    for (name, sql) in reports() {
        let params = declared_params(sql).unwrap();
        let planned = engine.plan_shared(sql, &params).await.unwrap();
        if planned.local_only().unwrap().is_some() {
            continue;
        }
        compared += 1;
        let session = engine
            .on_workers(&cluster, compared % 2 == 0, &used)
            .unwrap();
        let expected = rows(&engine, sql, &params, scratch.path()).await.unwrap();
        match rows(&session, sql, &params, scratch.path()).await {
            Ok(found) if found == expected => {}
            Ok(found) => {
                eprintln!("{name}\n{}\n--\n{}", expected.join("\n"), found.join("\n"));
                differing.push(name);
            }
            // The coordinator runs a step that fails on the workers.
            Err(_) => refused.push(name),
        }
    }
    assert!(compared > 80 && used.is_any());
    assert_eq!(differing, [""; 0], "{compared}");
    // A sort-merge join of DataFusion 55.2 panics in its filter.
    assert_eq!(refused, ["dora_debug/change_failure_rate_recomputed"]);
}

/// Start workers in this process.
async fn workers_here(count: usize) -> Vec<Url> {
    let mut urls = Vec::new();
    for _ in 0..count {
        let session = Engine::new(None).unwrap().worker_session();
        let server = WorkerServer {
            session,
            memory_limit: 2 << 30,
        };
        let worker = server.listen("127.0.0.1:0").await.unwrap();
        urls.push(Url::parse(&format!("http://{}", worker.address())).unwrap());
        tokio::spawn(worker.serve(std::future::pending()));
    }
    urls
}

/// DataFusion sorts once for windows of opposite orders, and sends the reversed one as if it were not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_opposite_orders_have_the_same_rows_on_workers() {
    let demo = DemoCopy::new();
    let text = std::fs::read_to_string(demo.config()).unwrap();
    let config = Config::parse(&text, &demo.config(), &BTreeMap::new(), &[]).unwrap();
    let lake = Lake::create(&config.lake.url, &config.lake.options).unwrap();
    let urls = workers_here(2).await;
    let files = SharedFiles::new(&lake, "20261124T100000Z-windows");
    let cluster = Cluster::connect(&urls, files, false).await.unwrap();
    let engine = open_published(&lake, None).await.unwrap();
    let scratch = tempfile::tempdir_in(demo.lake()).unwrap();
    for (function, is_sent) in [
        ("lag(id)", true),
        ("lead(id, 2)", true),
        ("first_value(id)", true),
        ("nth_value(id, 2)", true),
        ("row_number()", true),
        ("max(id)", true),
        ("array_agg(id)", false),
    ] {
        let sql = format!(
            "SELECT id,
                {function} OVER (PARTITION BY base_repo_id ORDER BY created_date, id) AS a,
                {function} OVER (PARTITION BY base_repo_id ORDER BY created_date DESC, id DESC) AS b
             FROM domain.pull_requests"
        );
        let used = UseOfWorkers::default();
        let session = engine.on_workers(&cluster, true, &used).unwrap();
        let expected = rows(&engine, &sql, &[], scratch.path()).await.unwrap();
        match rows(&session, &sql, &[], scratch.path()).await {
            Ok(found) => assert!(is_sent && found == expected, "{function}"),
            Err(error) => assert!(!is_sent, "{function}: {error}"),
        }
        assert!(used.is_any() && expected.len() > 20, "{function}");
    }
}

/// What a step stages is in files of the coordinator. Its workers see the bucket alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_read_what_is_staged_for_a_lake_in_a_bucket() {
    let Some(bucket) = stores::moto("cluster").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let world = workspace(folder.path());
    let sandbox = Sandbox::builder().workspace_dir(folder.path());
    let sandbox = sandbox.start(0).await.unwrap();
    sandbox.set_date(world.now);
    let endpoint = bucket.http.as_deref().unwrap().rsplit_once('/').unwrap().0;
    let lake = format!(
        "url = \"{}\"\nendpoint = \"{endpoint}\"\nallow_http = true",
        bucket.lake().url()
    );
    let config = folder.path().join("bitlake.toml");
    configuration(&config, &sandbox, &lake);
    let collected = bitlake(&config).arg("collect").output().unwrap();
    assert!(collected.status.success(), "{}", text(&collected.stderr));
    report(&transform(&config, &[], &[]).output().unwrap());
    let alone = bucket.files().await;

    let worker = WorkerProcess::start(&config);
    let report = report(&transform(&config, &[&worker.url], &[]).output().unwrap());
    let transform = &report["transform"];
    assert!(transform["workers"][0]["rows"].as_u64().unwrap() > 100);
    let local = transform["on_coordinator"].as_object().unwrap();
    let mut reasons = local.values().map(|reason| reason.as_str().unwrap());
    assert!(reasons.all(|it| !it.contains("fails")), "{local:#?}");
    let mut together = bucket.files().await;
    for (path, bytes) in alone {
        let found = together.remove(&path);
        let is_same = found.is_some_and(|found| found == bytes);
        assert!(is_same || path.starts_with("metrics/history/"), "{path}");
    }
    let staged = bucket.lake().list("_bitlake/staging").await.unwrap();
    assert!(staged.is_empty(), "{staged:?}");
}
