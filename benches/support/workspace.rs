//! The synthetic workspace in several sizes, served by the sandbox, and lakes collected from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bitlake::bitbucket::Limits;
use bitlake::collect::{CollectOptions, StopSignal, collect};
use bitlake::config::Config;
use bitlake::lake::Lake;
use bitlake_sandbox::{Day, Sandbox, SyntheticWorkspace, Variety};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

/// The environment variable of the token.
pub(crate) const TOKEN: &str = "BITLAKE_BENCH_TOKEN";
/// To be raised when the sandbox makes other records for the same settings.
const GENERATOR: u32 = 1;
/// The repositories of one project.
const PROJECT: usize = 5;

/// A workspace of a number of repositories: S1, S10, S100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) usize);

impl Size {
    /// Parse `S10` or `10`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = text.trim_start_matches(['s', 'S']).parse().ok()?;
        (1..1_000).contains(&number).then_some(Self(number))
    }

    /// Return the workspace: each repository has 1,000 pull requests, 5,000 pipelines, 500 deployments, about 2,100 commits
    /// and 4,000 entries of activity of the last 18 months. Of a day's events, only the first repository has any.
    pub(crate) fn workspace(self) -> SyntheticWorkspace {
        SyntheticWorkspace {
            repositories: self.0,
            idle: self.0 - 1,
            past: TimeDelta::days(548),
            now: now(),
            variety: Variety {
                team: 40,
                newcomers: 20,
                text: 300,
                reverts: 25,
            },
            ..SyntheticWorkspace::default()
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S{}", self.0)
    }
}

/// The end of the workspace's history.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

/// The events of a usual day of one repository.
pub(crate) const USUAL_DAY: Day = Day {
    opened: 8,
    closed: 8,
    touched: 24,
    entries: 31,
    pipelines: 38,
};

/// Return the configuration of a lake of the workspace.
pub(crate) fn configuration(size: Size, lake: &str, endpoint: &str) -> String {
    let mut text = format!(
        "[lake]\nurl = {lake:?}\n\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = {endpoint:?}\n\
         auth = \"access-token\"\ntoken = {{ env = \"{TOKEN}\" }}\nrequests_per_hour = 1000000\n\n\
         [[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n\n[sync]\nsince = \"2025-01-01\"\n"
    );
    for first in (0..size.0).step_by(PROJECT) {
        let names = first..(first + PROJECT).min(size.0);
        let names: Vec<_> = names.map(|n| format!("\"acme/repo-{n:03}\"")).collect();
        let (number, names) = (first / PROJECT, names.join(", "));
        text.push_str(&format!(
            "\n[[project]]\nname = \"project-{number:02}\"\nrepositories = [{names}]\n"
        ));
    }
    text
}

/// Collect from a server into the lake at `folder`.
pub(crate) async fn collect_into(folder: &Path, size: Size, sandbox: &Sandbox, now: DateTime<Utc>) {
    let url = folder.to_str().unwrap();
    let env = BTreeMap::from([(TOKEN.to_owned(), "s3cr3t".to_owned())]);
    let text = configuration(size, url, &sandbox.endpoint());
    let config = Config::parse(&text, Path::new("bitlake.toml"), &env, &[]).unwrap();
    let lake = Lake::create(url, &BTreeMap::new()).unwrap();
    let run_id = format!("{}-bench0", now.format("%Y%m%dT%H%M%SZ"));
    let options = CollectOptions {
        run_id: &run_id,
        now,
        limits: Limits::default(),
        stop: &StopSignal::new(None),
        full: false,
        shard: None,
        listener: &|_| {},
    };
    let report = collect(&config, &env, &lake, &options).await.unwrap();
    assert!(!report.is_incomplete() && report.stopped.is_none());
    // What the server was asked for no longer counts.
    let _ = std::fs::remove_dir_all(folder.join("_bitlake/budget"));
}

/// Serve the workspace, `days` days later.
pub(crate) async fn serve(size: Size, days: usize) -> (Sandbox, DateTime<Utc>) {
    let sandbox = Sandbox::builder()
        .synthetic(size.workspace())
        .remember_replies();
    let sandbox = sandbox.start(0).await.unwrap();
    let mut time = now();
    for _ in 0..days {
        time = sandbox.advance(&USUAL_DAY).unwrap();
    }
    (sandbox, time)
}

/// Return the folder of the lakes that are kept from one benchmark to the next.
pub(crate) fn lakes() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-lakes");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Copy a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copied = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &copied),
            false => std::fs::copy(&path, &copied).map(drop).unwrap(),
        }
    }
}

/// Return the folder of the lake of a size, as collected; it is made unless it is there.
pub(crate) async fn collected(size: Size) -> PathBuf {
    let settings = format!("{GENERATOR} {:?}", size.workspace());
    let digest = Sha256::digest(settings)
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let lakes = lakes();
    let folder = lakes.join(format!("{size}-{digest}"));
    if folder.exists() {
        return folder;
    }
    let started = std::time::Instant::now();
    let unfinished = tempfile::TempDir::new_in(&lakes).unwrap();
    let (sandbox, now) = serve(size, 0).await;
    collect_into(unfinished.path(), size, &sandbox, now).await;
    std::fs::rename(unfinished.keep(), &folder).unwrap();
    eprintln!(
        "collected {size} in {:.0?}: {}",
        started.elapsed(),
        folder.display()
    );
    folder
}
