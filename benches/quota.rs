//! Count the requests that a hundred repositories cost.
//!
//! `cargo bench --bench quota`. The sandbox serves a synthetic workspace with repositories of realistic size and counts the
//! requests of the first load, of later runs, and of a run over three hundred idle repositories with a token whose budget of a
//! thousand requests an hour is enforced. `SIZE=20 cargo bench --profile dev --bench quota` does the same for twenty
//! and sixty repositories, without an optimised build.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark may panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use bitlake::bitbucket::Limits;
use bitlake::collect::plan::{plan, total};
use bitlake::collect::{CollectOptions, StopSignal, collect};
use bitlake::config::Config;
use bitlake::lake::Lake;
use bitlake_sandbox::{Day, Sandbox, SyntheticWorkspace};
use chrono::{DateTime, Utc};
use tempfile::TempDir;

/// The events of a working day; five a week give the history of the workspace's half year.
const USUAL: Day = Day {
    opened: 8,
    closed: 8,
    touched: 24,
    entries: 31,
    pipelines: 38,
};
const HEAVY: Day = Day {
    opened: 10,
    closed: 10,
    touched: 50,
    entries: 150,
    pipelines: 20,
};

/// A synthetic workspace, its lake, and the requests of each run.
struct BenchRuns {
    sandbox: Sandbox,
    folder: TempDir,
    now: DateTime<Utc>,
    requests_per_hour: u64,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    /// The requests by list.
    requests: BTreeMap<&'static str, u64>,
    planned: u64,
    planning: u64,
}

impl BenchRuns {
    async fn of(workspace: SyntheticWorkspace) -> Self {
        Self {
            now: workspace.now,
            sandbox: Sandbox::builder()
                .synthetic(workspace)
                .start(0)
                .await
                .unwrap(),
            folder: tempfile::tempdir().unwrap(),
            requests_per_hour: 1_000_000,
            columns: Vec::new(),
        }
    }

    /// Advance by a day and collect.
    async fn run_day(&mut self, name: &str, day: &Day) -> u64 {
        self.now = self.sandbox.advance(day).unwrap();
        self.collect(name).await
    }

    async fn collect(&mut self, name: &str) -> u64 {
        let start = Instant::now();
        let url = self.folder.path().join("lake").display().to_string();
        // The runs are a day apart, so that the last run's requests no longer count.
        let budget = Path::new(&url).join("_bitlake/budget");
        let _ = std::fs::remove_dir_all(&budget);
        let text = format!(
            "[lake]\nurl = \"{url}\"\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{}\"\n\
             auth = \"access-token\"\ntoken = {{ env = \"TOKEN\" }}\nrequests_per_hour = {}\n\
             [[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n",
            self.sandbox.endpoint(),
            self.requests_per_hour,
        );
        let env = BTreeMap::from([("TOKEN".to_owned(), "s3cr3t".to_owned())]);
        let config = Config::parse(&text, Path::new("bitlake.toml"), &env, &[]).unwrap();
        let lake = Lake::create(&url, &BTreeMap::new()).unwrap();
        let limits = Limits::default();
        let planned = plan(&config, &env, &lake, &limits, self.now).await.unwrap();
        let _ = std::fs::remove_dir_all(&budget);
        let run_id = format!(
            "{}-{:06x}",
            self.now.format("%Y%m%dT%H%M%SZ"),
            self.columns.len()
        );
        let options = CollectOptions {
            run_id: &run_id,
            now: self.now,
            limits,
            stop: &StopSignal::new(None),
            full: false,
            shard: None,
            listener: &|_| {},
        };
        self.sandbox.reset_requests();
        let report = collect(&config, &env, &lake, &options).await.unwrap();
        assert!(!report.is_incomplete() && report.stopped.is_none());
        let mut requests = BTreeMap::new();
        for (route, n) in self.sandbox.requests() {
            *requests.entry(entity(&route)).or_default() += n;
        }
        let spent = requests.values().sum();
        assert_eq!(
            spent,
            report.requests.values().sum::<u64>(),
            "the server counts what the client counts"
        );
        let planned = (total(&planned.next()).round() as u64, planned.spent);
        eprintln!(
            "{name}: {spent} requests, {planned:?} planned and for planning, {:.0?}",
            start.elapsed()
        );
        self.columns.push(Column {
            name: name.to_owned(),
            requests,
            planned: planned.0,
            planning: planned.1,
        });
        spent
    }

    /// Print a Markdown table with a row for each list and a column for each run.
    fn print(&self) {
        let names: Vec<_> = self
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        println!("| requests | {} |", names.join(" | "));
        println!("|---|{}", "---:|".repeat(names.len()));
        let row = |name: &str, of: &dyn Fn(&Column) -> String| {
            let cells: Vec<_> = self.columns.iter().map(of).collect();
            println!("| {name} | {} |", cells.join(" | "));
        };
        let lists = self
            .columns
            .iter()
            .flat_map(|column| column.requests.keys());
        for list in lists.collect::<BTreeSet<_>>() {
            row(list, &|column| {
                column
                    .requests
                    .get(list)
                    .copied()
                    .unwrap_or_default()
                    .to_string()
            });
        }
        let spent = |column: &Column| column.requests.values().sum::<u64>();
        row("**all**", &|column| format!("**{}**", spent(column)));
        row("planned", &|column| {
            let off = column.planned as f64 / spent(column) as f64 - 1.0;
            format!("{} ({:+.1} %)", column.planned, 100.0 * off)
        });
        row("for planning", &|column| column.planning.to_string());
    }
}

/// Return the list of a route.
fn entity(route: &str) -> &'static str {
    let below = route
        .split_once("{repo_slug}")
        .map_or("", |(_, below)| below);
    match below {
        "" if route.ends_with("/members") => "workspace members",
        "" => "repositories",
        "/commits" => "commits",
        "/pullrequests" => "pull requests",
        "/pullrequests/activity" | "/pullrequests/{pull_request_id}/activity" => "activity",
        "/pullrequests/{pull_request_id}/comments" => "comments",
        "/pullrequests/{pull_request_id}/commits" => "pull request commits",
        "/pipelines/" | "/pipelines/{pipeline_uuid}" => "pipelines",
        "/pipelines/{pipeline_uuid}/steps/" => "pipeline steps",
        "/deployments/" => "deployments",
        "/environments/" => "environments",
        _ if below.starts_with("/refs") => "branches and tags",
        _ => "others",
    }
}

#[tokio::main]
async fn main() {
    let size = std::env::var("SIZE")
        .ok()
        .and_then(|size| size.parse().ok());
    let (repositories, pull_requests, pipelines, idle) = match size {
        Some(size) => (size, 1_000, 5_000, 3 * size),
        None if cfg!(debug_assertions) => (2, 100, 500, 5),
        None => (100, 1_000, 5_000, 300),
    };
    let now = "2026-11-23T10:00:00Z".parse().unwrap();
    let workspace = SyntheticWorkspace {
        repositories,
        pull_requests,
        pipelines,
        now,
        ..SyntheticWorkspace::default()
    };
    let mut runs = BenchRuns::of(workspace).await;
    println!(
        "{repositories} repositories with {pull_requests} pull requests and {pipelines} pipelines each: {:?}\n",
        runs.sandbox.sizes(0).unwrap()
    );
    runs.collect("first load").await;
    runs.run_day("usual day", &USUAL).await;
    runs.run_day("heavy day", &HEAVY).await;
    let nothing = runs.run_day("nothing moved", &Day::default()).await;
    runs.print();
    println!(
        "\nan idle repository: {:.2} requests\n",
        nothing as f64 / repositories as f64
    );

    let mut runs = BenchRuns::of(SyntheticWorkspace {
        repositories: idle,
        pull_requests: 20,
        pipelines: 50,
        now,
        ..SyntheticWorkspace::default()
    })
    .await;
    runs.collect("first load").await;
    runs.sandbox.enforce(1_000);
    runs.requests_per_hour = 1_000;
    runs.run_day("first night", &Day::default()).await;
    println!("{idle} idle repositories and one token with 1,000 requests an hour\n");
    runs.print();
    println!("\nrefused: {}", runs.sandbox.refused());
}
