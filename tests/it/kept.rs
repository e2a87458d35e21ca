//! Tables whose inputs did not change are kept, and the lake is always the one that a full transform makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bitlake::config::Config;
use bitlake::lake::{Lake, Manifest, layout};
use bitlake::transform::{TransformOptions, TransformReport, open_published, transform};
use bitlake_sandbox::Sandbox;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::support::*;
use super::world::World;

/// The configuration of every lake here. Its connection is never used: the records are collected once.
pub(super) const CONFIG: &str = "[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"http://127.0.0.1:9/2.0/\"\n\
    auth = \"access-token\"\ntoken = { env = \"TOKEN\" }\n\
    [[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n\
    [rules.default]\nsteps = \"all\"\n[[project]]\nname = \"shop\"\nrepositories = [\"acme/*\"]\n";

/// A lake that the test may change.
pub(super) struct Copied {
    pub(super) folder: PathBuf,
    /// The folder is removed with the lake, unless it belongs to a bench.
    pub(super) _temporary: Option<TempDir>,
    pub(super) config: String,
    pub(super) now: DateTime<Utc>,
}

/// A transformed lake, and the report of its first transform.
struct Prepared {
    lake: Copied,
    report: TransformReport,
}

async fn prepared() -> &'static Prepared {
    static PREPARED: OnceCell<Prepared> = OnceCell::const_new();
    PREPARED
        .get_or_init(|| async {
            let workspace = tempfile::tempdir().unwrap();
            let mut world = World::new();
            (0..90).for_each(|n| world.happen(n, usize::from(n)));
            world.now += TimeDelta::days(3);
            world.write(workspace.path());
            let mut bench = Bench::new(Sandbox::builder().workspace_dir(workspace.path())).await;
            bench.now = world.now;
            bench.complete().await;
            let lake = Copied {
                config: CONFIG.to_owned(),
                now: world.now,
                ..Copied::empty()
            };
            copy(bench.lake.folder().unwrap(), &lake.root());
            let report = lake.transform(TransformOptions::default()).await;
            Prepared { lake, report }
        })
        .await
}

/// Rules by which other deployments count than before.
const OTHER_DEPLOYMENTS: &str =
    "deployments = \"steps\"\ndeployment_pattern = \"^deploy\"\nproduction_pattern = \"^never\"";

/// Return a copy of the transformed lake.
async fn copied() -> Copied {
    prepared().await.lake.copied()
}

fn full() -> TransformOptions {
    TransformOptions {
        full: true,
        ..TransformOptions::default()
    }
}

fn domain_only() -> TransformOptions {
    TransformOptions {
        only: Some(BTreeSet::from(["domain".to_owned()])),
        ..TransformOptions::default()
    }
}

impl Copied {
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder: folder.path().to_owned(),
            _temporary: Some(folder),
            config: String::new(),
            now: DateTime::UNIX_EPOCH,
        }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("lake")
    }

    fn copied(&self) -> Self {
        let copied = Self {
            config: self.config.clone(),
            now: self.now,
            ..Self::empty()
        };
        copy(&self.root(), &copied.root());
        // No file is younger than the manifest, as after a publish.
        if let Ok(manifest) = std::fs::read(self.root().join(layout::MANIFEST)) {
            std::fs::write(copied.root().join(layout::MANIFEST), manifest).unwrap();
        }
        copied
    }

    /// Add lines to the rules.
    fn add_rules(&mut self, lines: &str) {
        let added = format!("{lines}\nsteps =");
        self.config = self.config.replace("steps =", &added);
    }

    fn run_id(&self) -> String {
        self.now.format("%Y%m%dT%H%M%SZ-000001").to_string()
    }

    async fn transform(&self, options: TransformOptions) -> TransformReport {
        let path = self.folder.join("bitlake.toml");
        let text = format!(
            "[lake]\nurl = {:?}\n{}",
            self.root().to_str().unwrap(),
            self.config
        );
        let env = BTreeMap::from([("TOKEN".to_owned(), "s3cr3t".to_owned())]);
        let config = Config::parse(&text, &path, &env, &[]).unwrap();
        let lake = Lake::create(&config.lake.url, &config.lake.options).unwrap();
        let lock = lake.lock().unwrap();
        transform(&config, &lake, &lock, &self.run_id(), self.now, &options)
            .await
            .unwrap()
    }

    /// Transform, and check that the published files are those of a full transform over a copy.
    pub(super) async fn changes(&self) -> TransformReport {
        self.changes_with(TransformOptions::default()).await
    }

    async fn changes_with(&self, options: TransformOptions) -> TransformReport {
        let whole = self.copied();
        let report = self.transform(options.clone()).await;
        let full = TransformOptions {
            full: true,
            ..options
        };
        whole.transform(full).await;
        let (own, expected) = (self.files(), whole.files());
        let differing = |path: &&String| own.get(*path) != expected.get(*path);
        let paths: BTreeSet<_> = own
            .keys()
            .chain(expected.keys())
            .filter(differing)
            .collect();
        assert!(paths.is_empty(), "{paths:?} {:?}", report.made);
        report
    }

    /// Return the published files with their content.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut open = vec![self.root()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.root()).unwrap();
                let name = name.display().to_string();
                match path.is_dir() {
                    true if name == layout::PRIVATE => {}
                    true => open.push(path),
                    false => drop(files.insert(name, std::fs::read(path).unwrap())),
                }
            }
        }
        files
    }

    fn private(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.root().join(name)).unwrap()
    }

    fn change_manifest(&self, change: impl FnOnce(&mut Manifest)) {
        let mut manifest = serde_json::from_slice(&self.private(layout::MANIFEST)).unwrap();
        change(&mut manifest);
        let text = serde_json::to_string(&manifest).unwrap();
        std::fs::write(self.root().join(layout::MANIFEST), text).unwrap();
    }

    /// Pretend that a publish was interrupted.
    fn interrupt(&self) {
        let intent = json!({"run_id": "killed", "epoch": 9, "expires_at": "2026-01-01T00:00:00Z"});
        self.change_manifest(|manifest| {
            manifest.intent = Some(serde_json::from_value(intent).unwrap());
        });
    }

    async fn query(&self, sql: &str) -> Vec<String> {
        let root = self.root().display().to_string();
        let lake = Lake::open(&root, &BTreeMap::new()).await.unwrap();
        let engine = open_published(&lake, None).await.unwrap();
        lines_of(&engine, sql).await.unwrap()
    }
}

/// The names of the tables that were made.
fn made(report: &TransformReport) -> BTreeSet<&str> {
    report.made.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_transform_with_nothing_new_writes_nothing_and_reports_the_same() {
    let Prepared {
        lake,
        report: first,
    } = prepared().await;
    assert!(first.made.len() > 60, "{:?}", first.made);
    let mut reasons = first.made.values();
    assert!(reasons.all(|reason| reason == "not published yet"));
    let same = lake.copied();
    let again = same.transform(TransformOptions::default()).await;
    assert_eq!(made(&again), BTreeSet::new());
    let published = again.published;
    assert_eq!((published.files_written, published.files_removed), (0, 0));
    assert_eq!(published.tables, first.published.tables);
    assert_eq!(same.files(), lake.files());
    for object in [layout::MANIFEST, layout::CHECKS] {
        assert_eq!(same.private(object), lake.private(object), "{object}");
    }
    assert!(!first.rows.is_empty() && !first.notices.is_empty());
    let expected = TransformReport {
        made: BTreeMap::new(),
        steps: BTreeMap::new(),
        published,
        ..first.clone()
    };
    assert_eq!(again, expected);
}

#[tokio::test]
async fn a_changed_setting_makes_what_depends_on_it() {
    let mut lake = copied().await;
    lake.config = lake
        .config
        .replace("[[project]]\n", "[[project]]\nincident_window_hours = 5\n");
    let report = lake.changes().await;
    assert_eq!(report.made["dora.incidents"], "changed: config.projects");
    assert!(
        !made(&report).contains("domain.pull_requests"),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_table_that_is_made_with_equal_bytes_changes_no_table_that_reads_it() {
    let mut lake = copied().await;
    // No branch or title has such a name.
    lake.add_rules("hotfix_pattern = '^never/'");
    let report = lake.changes().await;
    assert!(
        made(&report).contains("dora.project_pr_metrics"),
        "{report:?}"
    );
    assert!(!made(&report).contains("metrics.dora"), "{report:?}");
}

#[tokio::test]
async fn the_same_figures_add_nothing_to_their_history() {
    let mut lake = copied().await;
    let history = "SELECT count(*), count(DISTINCT run_id) FROM metrics.history";
    let before = lake.query(history).await;
    assert_ne!(before, ["0 | 0"]);
    let again = lake.transform(full()).await;
    assert!(made(&again).contains("metrics.history"));
    assert_eq!(again.published.files_written, 0);
    // Other figures add rows, once.
    lake.now += TimeDelta::days(1);
    lake.add_rules(OTHER_DEPLOYMENTS);
    let report = lake.changes().await;
    assert!(made(&report).contains("metrics.history"), "{report:?}");
    let after = lake.query(history).await;
    assert_ne!(after, before);
    lake.transform(full()).await;
    lake.transform(TransformOptions::default()).await;
    assert_eq!(lake.query(history).await, after);
}

#[tokio::test]
async fn damaged_files_are_made_again_and_no_others() {
    let lake = copied().await;
    let path = layout_of(&lake, "domain.pull_requests");
    std::fs::remove_file(lake.root().join(&path)).unwrap();
    let report = lake.transform(TransformOptions::default()).await;
    assert_eq!(made(&report), BTreeSet::from(["domain.pull_requests"]));
    assert_eq!(lake.files(), prepared().await.lake.files());
}

fn layout_of(lake: &Copied, table: &str) -> String {
    let manifest: Manifest = serde_json::from_slice(&lake.private(layout::MANIFEST)).unwrap();
    manifest.files(table).next().unwrap().0.clone()
}

#[tokio::test]
async fn a_lake_of_the_version_before_is_made_once() {
    let lake = copied().await;
    lake.change_manifest(|manifest| {
        for table in manifest.tables.values_mut() {
            table.made_from.clear();
        }
    });
    std::fs::remove_file(lake.root().join(layout::CHECKS)).unwrap();
    let Prepared {
        lake: before,
        report: first,
    } = prepared().await;
    let report = lake.transform(TransformOptions::default()).await;
    assert_eq!(made(&report), made(first));
    assert_eq!(report.published.files_written, 0);
    assert_eq!(lake.private(layout::CHECKS), before.private(layout::CHECKS));
    let again = lake.transform(TransformOptions::default()).await;
    assert_eq!(made(&again), BTreeSet::new());
}

#[tokio::test]
async fn everything_is_made_after_an_interrupted_publish() {
    let lake = copied().await;
    lake.interrupt();
    let report = lake.transform(TransformOptions::default()).await;
    assert_eq!(made(&report), made(&prepared().await.report));
    assert_eq!(lake.files(), prepared().await.lake.files());
    let again = lake.transform(TransformOptions::default()).await;
    assert_eq!(made(&again), BTreeSet::new());
}

/// The interrupted publish put files of a layer that the next run does not make.
#[tokio::test]
async fn files_of_an_interrupted_publish_do_not_pass_for_those_of_the_last_one() {
    let mut lake = copied().await;
    let mut other = lake.copied();
    other.add_rules(OTHER_DEPLOYMENTS);
    other.now += TimeDelta::hours(1);
    other.transform(TransformOptions::default()).await;
    for layer in ["dora", "metrics"] {
        copy(&other.root().join(layer), &lake.root().join(layer));
    }
    lake.interrupt();
    let domain = domain_only();
    lake.transform(domain).await;
    lake.now += TimeDelta::days(1);
    let report = lake.changes().await;
    assert!(made(&report).contains("dora.deployments"), "{report:?}");
}

#[tokio::test]
async fn a_run_of_one_layer_leaves_the_others_to_the_next_run() {
    let mut lake = copied().await;
    lake.add_rules(OTHER_DEPLOYMENTS);
    let domain = domain_only();
    let report = lake.transform(domain.clone()).await;
    assert!(
        made(&report).contains("domain.cicd_deployments"),
        "{report:?}"
    );
    assert!(made(&report).iter().all(|name| name.starts_with("domain.")));
    assert_eq!(made(&lake.transform(domain).await), BTreeSet::new());
    lake.now += TimeDelta::days(1);
    let report = lake.changes().await;
    assert!(made(&report).contains("dora.deployments"), "{report:?}");
    assert!(
        !made(&report).contains("domain.cicd_deployments"),
        "{report:?}"
    );
}

#[tokio::test]
async fn steps_of_the_user_are_kept_until_their_text_changes() {
    let lake = copied().await;
    let queries = tempfile::tempdir().unwrap();
    let options = || TransformOptions {
        queries: Some(queries.path().to_owned()),
        ..TransformOptions::default()
    };
    let write = |name: &str, sql: &str| {
        let path = queries.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, sql).unwrap();
    };
    write(
        "domain/first.sql",
        "SELECT id, title FROM domain.pull_requests",
    );
    write("dora/second.sql", "SELECT count(*) AS n FROM domain.first");
    let report = lake.transform(options()).await;
    assert_eq!(
        made(&report),
        BTreeSet::from(["domain.first", "dora.second"])
    );
    assert_eq!(made(&lake.transform(options()).await), BTreeSet::new());
    // The table of `first` is kept, and read by the contract of its query.
    write(
        "dora/second.sql",
        "SELECT count(title) AS n FROM domain.first",
    );
    let report = lake.transform(options()).await;
    assert_eq!(
        report.made,
        BTreeMap::from([("dora.second".to_owned(), "changed: dora.second".to_owned())])
    );
    // A replaced step is the bundled one again once its file is gone.
    let bundled = include_str!("../../queries/domain/refs.sql");
    write("domain/refs.sql", &format!("{bundled}\n-- Ours."));
    assert_eq!(
        made(&lake.transform(options()).await),
        BTreeSet::from(["domain.refs"])
    );
    let report = lake.transform(TransformOptions::default()).await;
    assert_eq!(made(&report), BTreeSet::from(["domain.refs"]));
}

#[tokio::test]
async fn rows_of_an_outside_table_count_as_an_input() {
    let mut lake = copied().await;
    let csv = lake.folder.join("incidents.csv");
    let incident = |id: &str| format!("{id},one,{id},2026-03-02 10:00:00,cicd_scopes,s1\n");
    let write = |rows: &[String]| {
        let header = "id,title,incident_key,created_date,table,scope_id\n";
        std::fs::write(&csv, format!("{header}{}", rows.concat())).unwrap();
    };
    write(&[incident("i1")]);
    let bundled = lake.config.clone();
    lake.config = format!(
        "{bundled}[[table]]\nname = \"domain.incidents\"\nlocation = {csv:?}\nformat = \"csv\"\nadd = true\n"
    );
    let report = lake.changes().await;
    assert!(
        report.made["domain.incidents"].contains("part_0"),
        "{report:?}"
    );
    assert_eq!(made(&lake.changes().await), BTreeSet::new());
    write(&[incident("i1"), incident("i2")]);
    assert_eq!(
        lake.changes().await.made["domain.incidents"],
        "changed: part_0"
    );
    assert_eq!(
        lake.query("SELECT count(*) FROM domain.incidents WHERE scope_id = 's1'")
            .await,
        ["2"]
    );
    lake.config = bundled;
    assert!(lake.changes().await.made.contains_key("domain.incidents"));
    let files = |lake: &Copied| {
        let mut files = lake.files();
        // What was published once stays in the history of the figures.
        files.retain(|path, _| !path.starts_with("metrics/history/"));
        files
    };
    assert_eq!(files(&lake), files(&prepared().await.lake));
}

/// Damaged findings of the checks are no reason to fail: the checks run again.
#[tokio::test]
async fn checks_run_again_without_their_known_findings() {
    let lake = copied().await;
    std::fs::write(lake.root().join(layout::CHECKS), "{").unwrap();
    let report = lake.transform(TransformOptions::default()).await;
    let Prepared {
        lake: before,
        report: first,
    } = prepared().await;
    assert_eq!(
        (report.warnings, report.notices),
        (first.warnings.clone(), first.notices.clone())
    );
    assert_eq!(lake.private(layout::CHECKS), before.private(layout::CHECKS));
    // A finding is taken from there, not found again.
    let mut known: Value = serde_json::from_slice(&lake.private(layout::CHECKS)).unwrap();
    let invented = json!([{"repository": "acme/web", "kind": "invented", "n": 1}]);
    known["queries/checks/short_hashes.sql"]["warnings"] = invented;
    std::fs::write(lake.root().join(layout::CHECKS), known.to_string()).unwrap();
    let report = lake.transform(TransformOptions::default()).await;
    assert!(report.warnings.iter().any(|one| one.kind == "invented"));
}
