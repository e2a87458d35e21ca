//! A lake, a configuration and a sandbox, for tests that go through the library.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bitlake::bitbucket::Limits;
use bitlake::collect::plan::{Plan, plan};
use bitlake::collect::{
    CollectEvent, CollectOptions, CollectReport, Shard, StopReason, StopSignal, collect,
};
use bitlake::config::Config;
use bitlake::error::Result;
use bitlake::lake::{Lake, RepositoryState};
use bitlake::transform::{TransformReport, open_published, transform};
use bitlake_sandbox::{Builder, Sandbox};
use chrono::{DateTime, Utc};
use datafusion::arrow::array::AsArray;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

use super::{at, copy, fixture, lines_of};

/// A lake, a configuration, and the server they talk to.
pub struct Bench {
    pub sandbox: Sandbox,
    pub folder: TempDir,
    pub lake: Lake,
    pub include: String,
    /// Further TOML, behind the sections every configuration has.
    pub more: String,
    pub connection: String,
    /// Further keys of `[lake]`.
    pub keys: String,
    runs: usize,
    pub stop: StopSignal,
    /// Ends the next run after so many pages.
    pub stops_after: Option<usize>,
    pub full: bool,
    pub shard: Option<Shard>,
    /// When the next run takes place.
    pub now: DateTime<Utc>,
    /// Bitbucket's clock, where it is another one.
    pub date: Option<DateTime<Utc>>,
    pub limits: Limits,
    /// The workspace, where it is a copy.
    _source: Option<TempDir>,
}

impl Bench {
    pub async fn new(builder: Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::create(
            folder.path().join("lake").to_str().unwrap(),
            &BTreeMap::new(),
        )
        .unwrap();
        Self {
            sandbox: builder.start(0).await.unwrap(),
            folder,
            lake,
            include: "acme/*".to_owned(),
            more: "[sync]\nsince = \"2026-01-01\"".to_owned(),
            connection: "auth = \"access-token\"\ntoken = { env = \"TOKEN\" }".to_owned(),
            keys: String::new(),
            runs: 0,
            stop: StopSignal::new(None),
            stops_after: None,
            full: false,
            shard: None,
            now: at("2026-11-23T10:00:00Z"),
            date: None,
            limits: Limits {
                first_wait: Duration::from_millis(1),
                rate_limit_first_wait: Duration::from_millis(10),
                ..Limits::default()
            },
            _source: None,
        }
    }

    pub async fn quirk(name: &str) -> Self {
        Self::new(Sandbox::builder().workspace_dir(fixture("quirks").join(name))).await
    }

    /// A quirk's workspace that the test may change; `Sandbox::reload` shows the change.
    pub async fn copy_of(name: &str) -> (Self, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture("quirks").join(name), folder.path());
        let web = folder.path().join("acme/web");
        let mut bench = Self::new(Sandbox::builder().workspace_dir(folder.path())).await;
        bench._source = Some(folder);
        (bench, web)
    }

    pub async fn run(&mut self) -> Result<CollectReport> {
        self.runs += 1;
        self.sandbox.set_date(self.date.unwrap_or(self.now));
        let (config, env) = self.config()?;
        let now = self.now;
        let pages = AtomicUsize::new(0);
        let run_id = format!("{}-{:06x}", now.format("%Y%m%dT%H%M%SZ"), self.runs);
        let options = CollectOptions {
            run_id: &run_id,
            now,
            limits: self.limits.clone(),
            stop: &self.stop,
            full: self.full,
            shard: self.shard,
            listener: &|event| {
                if matches!(event, CollectEvent::Page { .. })
                    && Some(pages.fetch_add(1, Ordering::Relaxed)) == self.stops_after
                {
                    self.stop.request(StopReason::Deadline);
                }
            },
        };
        collect(&config, &env, &self.lake, &options).await
    }

    /// What the next run is planned to ask for; the plan is on the lake then.
    pub async fn plan(&self) -> Plan {
        self.sandbox.set_date(self.date.unwrap_or(self.now));
        let (config, env) = self.config().unwrap();
        let limits = Limits::default();
        plan(&config, &env, &self.lake, &limits, self.now)
            .await
            .unwrap()
    }

    fn config(&self) -> Result<(Config, BTreeMap<String, String>)> {
        let text = format!(
            "[lake]\nurl = \"{}\"\n{}\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{}\"\n{}\n\
             [[repositories]]\nconnection = \"acme\"\ninclude = [\"{}\"]\n{}\n",
            self.folder.path().join("lake").display(),
            self.keys,
            self.sandbox.endpoint(),
            self.connection,
            self.include,
            self.more
        );
        let owned = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut env = BTreeMap::from([owned("TOKEN", "s3cr3t")]);
        // Most tests look at everything there is; one with a set of its own says whose steps it wants.
        if !self.more.contains("steps =") {
            env.extend([owned("BITLAKE__RULES__DEFAULT__STEPS", "all")]);
        }
        let config = Config::parse(&text, Path::new("bitlake.toml"), &env, &[])?;
        Ok((config, env))
    }

    /// Publishes what was collected so far: the source layer, and the tables made from it of these layers.
    pub async fn transform(&self, layers: &[&str]) -> Result<TransformReport> {
        self.transform_with(layers, Default::default()).await
    }

    pub async fn transform_with(
        &self,
        layers: &[&str],
        options: bitlake::transform::TransformOptions,
    ) -> Result<TransformReport> {
        let (config, _) = self.config()?;
        let options = bitlake::transform::TransformOptions {
            only: Some(layers.iter().map(|layer| (*layer).to_owned()).collect()),
            ..options
        };
        let lock = self.lake.lock()?;
        transform(&config, &self.lake, &lock, "transform", self.now, &options).await
    }

    /// The lines of a query over what is published.
    pub async fn query(&self, sql: &str) -> Vec<String> {
        let engine = open_published(&self.lake, None).await.unwrap();
        lines_of(&engine, sql).await.unwrap()
    }

    /// The source layer's files and what is in them.
    pub fn source(&self) -> BTreeMap<String, Vec<u8>> {
        let root = self.folder.path().join("lake");
        let mut files = BTreeMap::new();
        let mut open = vec![root.join("bitbucket")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => open.push(path),
                    false => {
                        let name = path.strip_prefix(&root).unwrap().display().to_string();
                        files.insert(name, std::fs::read(&path).unwrap());
                    }
                }
            }
        }
        files
    }

    pub async fn complete(&mut self) -> CollectReport {
        let report = self.run().await.unwrap();
        let left: Vec<_> = report.incomplete().collect();
        assert!(left.is_empty(), "{left:?}");
        report
    }

    pub async fn state(&self) -> RepositoryState {
        self.state_of("acme/web").await
    }

    /// The state of a repository by its full name.
    pub async fn state_of(&self, full_name: &str) -> RepositoryState {
        let states = self.lake.versioned_states().await.unwrap();
        states
            .into_iter()
            .map(|(state, _)| state)
            .find(|state| state.full_name == full_name)
            .unwrap()
    }

    /// The rows collected for `acme/web`, in order: one JSON object of the envelope's key and the payload each.
    pub async fn rows(&self, table: &str) -> Vec<(String, Value)> {
        let state = self.state().await;
        let mut rows = Vec::new();
        for segment in state
            .entities
            .get(table)
            .map_or(&[][..], |entity| &entity.segments)
        {
            let file =
                std::fs::File::open(self.lake.folder().unwrap().join(&segment.path)).unwrap();
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

    pub async fn keys(&self, table: &str) -> Vec<String> {
        self.rows(table)
            .await
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    }

    /// How often the sandbox was asked for what holds all of `parts`.
    pub fn asked(&self, parts: &[&str]) -> usize {
        let log = self.sandbox.request_log();
        log.iter()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    }

    /// Everything that the lake holds, as bytes: what must not be found is not there.
    pub async fn payloads(&self) -> String {
        let mut all = String::new();
        for table in self.state().await.entities.into_keys() {
            for (_, payload) in self.rows(&table).await {
                all.push_str(&payload.to_string());
            }
        }
        all
    }
}
