//! The collectors against the sandbox.

mod discovery;
mod endings;
mod quirks;
mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitlake::bitbucket::Limits;
use bitlake::collect::{CollectReport, EntityReport, Options, collect};
use bitlake::config::Config;
use bitlake::error::{Error, ErrorKind, Result};
use bitlake::lake::{EntityStatus, Lake, State};
use bitlake::sandbox::{Builder, Credentials, Fault, Sandbox};
use chrono::{DateTime, Utc};
use datafusion::arrow::array::AsArray;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A lake, a configuration, and the server they talk to.
struct Bench {
    sandbox: Sandbox,
    folder: TempDir,
    lake: Lake,
    include: String,
    /// Further TOML, behind the sections every configuration has.
    more: String,
    connection: String,
    runs: usize,
    now: DateTime<Utc>,
    /// The workspace, where it is a copy.
    _source: Option<TempDir>,
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(path)
}

impl Bench {
    async fn new(builder: Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::create(folder.path().join("lake").to_str().unwrap()).unwrap();
        Self {
            sandbox: builder.start(0).await.unwrap(),
            folder,
            lake,
            include: "acme/*".to_owned(),
            more: "[sync]\nsince = \"2026-01-01\"".to_owned(),
            connection: "auth = \"access-token\"\ntoken = { env = \"TOKEN\" }".to_owned(),
            runs: 0,
            now: at("2026-11-23T10:00:00Z"),
            _source: None,
        }
    }

    async fn quirk(name: &str) -> Self {
        Self::new(Sandbox::builder().workspace_dir(fixture("quirks").join(name))).await
    }

    /// A quirk's workspace that the test may change; `Sandbox::reload` shows the change.
    async fn copy_of(name: &str) -> (Self, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture("quirks").join(name), folder.path());
        let web = folder.path().join("acme/web");
        let mut bench = Self::new(Sandbox::builder().workspace_dir(folder.path())).await;
        bench._source = Some(folder);
        (bench, web)
    }

    async fn run(&mut self) -> Result<CollectReport> {
        self.runs += 1;
        let text = format!(
            "[lake]\nurl = \"{}\"\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{}\"\n{}\n\
             [[repositories]]\nconnection = \"acme\"\ninclude = [\"{}\"]\n{}\n",
            self.folder.path().join("lake").display(),
            self.sandbox.endpoint(),
            self.connection,
            self.include,
            self.more
        );
        let env = BTreeMap::from([("TOKEN".to_owned(), "s3cr3t".to_owned())]);
        let config = Config::parse(&text, Path::new("bitlake.toml"), &env, &[])?;
        let limits = Limits {
            first_wait: Duration::from_millis(1),
            refused_first_wait: Duration::from_millis(10),
            ..Limits::default()
        };
        let run_id = format!("run-{}", self.runs);
        let now = self.now;
        let options = Options {
            run_id: &run_id,
            now,
            limits,
            listener: &|_| {},
        };
        collect(&config, &env, &self.lake, &options).await
    }

    async fn complete(&mut self) -> CollectReport {
        let report = self.run().await.unwrap();
        let left: Vec<_> = report.incomplete().collect();
        assert!(left.is_empty(), "{left:?}");
        report
    }

    async fn state(&self) -> State {
        let states = self.lake.states().await.unwrap();
        states
            .into_iter()
            .find(|state| state.full_name == "acme/web")
            .unwrap()
    }

    /// The rows collected for `acme/web`, in order: one JSON object of the envelope's key and the payload each.
    async fn rows(&self, table: &str) -> Vec<(String, Value)> {
        let state = self.state().await;
        let mut rows = Vec::new();
        for segment in state
            .entities
            .get(table)
            .map_or(&[][..], |entity| &entity.segments)
        {
            let file = std::fs::File::open(self.lake.root().join(&segment.path)).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)
                .unwrap()
                .build()
                .unwrap();
            for batch in reader {
                let batch = batch.unwrap();
                let column = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>();
                for n in 0..batch.num_rows() {
                    let payload = serde_json::from_str(column("_payload").value(n)).unwrap();
                    rows.push((column("_key").value(n).to_owned(), payload));
                }
            }
        }
        rows
    }

    async fn keys(&self, table: &str) -> Vec<String> {
        self.rows(table)
            .await
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    }

    /// How often the sandbox was asked for what holds all of `parts`.
    fn asked(&self, parts: &[&str]) -> usize {
        let log = self.sandbox.request_log();
        log.iter()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    }

    /// Everything that the lake holds, as bytes: what must not be found is not there.
    async fn payloads(&self) -> String {
        let mut all = String::new();
        for table in self.state().await.entities.into_keys() {
            for (_, payload) in self.rows(&table).await {
                all.push_str(&payload.to_string());
            }
        }
        all
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn of<'a>(report: &'a CollectReport, repository: &str, table: &str) -> &'a EntityReport {
    let repository = report
        .repositories
        .iter()
        .find(|it| it.repository == repository)
        .unwrap();
    &repository.entities[table]
}

fn web<'a>(report: &'a CollectReport, table: &str) -> &'a EntityReport {
    of(report, "acme/web", table)
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}
