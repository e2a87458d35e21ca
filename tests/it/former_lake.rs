//! A lake that the version before wrote is read and collected further by this one.
//!
//! `fixtures/lakes/0.1.0` is what a run of version 0.1.0 left over the workspace below, stopped after [`REQUESTS`] requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bitlake::lake::{Lake, ListStatus, PendingKind};
use bitlake_sandbox::Sandbox;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::support::*;

/// The requests that the run of the version before was allowed.
const REQUESTS: u32 = 11;
/// The address of the sandbox in the fixture's cursors.
const ENDPOINT: &str = "http://127.0.0.1:8090/2.0/";

fn former_lake() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/lakes/0.1.0")
}

fn hash(n: usize) -> String {
    format!("{n:08x}").repeat(5)
}

/// So many hours after the first of October.
fn time(hours: usize) -> String {
    let time = at("2026-10-01T08:00:00Z") + TimeDelta::hours(hours as i64);
    time.format("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// Write a workspace with one repository: the first pages of commits, pull requests and activity reach below the floor of the
/// first round, and each list has one more page.
fn write_workspace(folder: &Path) {
    let web = folder.join("acme/web");
    std::fs::create_dir_all(&web).unwrap();
    let write = |table: &str, records: Vec<Value>| {
        let lines: Vec<String> = records.iter().map(Value::to_string).collect();
        std::fs::write(web.join(format!("{table}.jsonl")), lines.join("\n")).unwrap();
    };
    let repository = json!({"type": "repository", "uuid": "{web}", "full_name": "acme/web", "slug": "web", "name": "web",
        "has_issues": false, "mainbranch": {"name": "main"}, "created_on": time(0), "updated_on": time(1350),
        "workspace": {"uuid": "{acme}", "slug": "acme"}});
    std::fs::write(web.join("repository.json"), repository.to_string()).unwrap();
    let commit = |n: usize| {
        let parents: Vec<_> = (1..n)
            .rev()
            .take(1)
            .map(|n| json!({"hash": hash(n)}))
            .collect();
        json!({"hash": hash(n), "date": time(n), "message": format!("change {n}"), "parents": parents,
            "author": {"raw": "U <u@acme.example>"}})
    };
    write("commits", (1..=101).rev().map(commit).collect());
    let branch = json!({"type": "branch", "name": "main", "target": {"hash": hash(101)}});
    write("branches", vec![branch]);
    let tag = json!({"type": "tag", "name": "v1", "target": {"hash": hash(60)}});
    write("tags", vec![tag]);
    write("pull_requests", (1..=51).map(pull_request).collect());
    let activity = |n: usize| {
        let entry = json!({"state": "OPEN", "date": time(24 * n), "author": {"uuid": "{u}"}});
        json!({"pull_request": {"id": n}, "update": entry})
    };
    write("pull_request_activity", (1..=51).map(activity).collect());
    let comment = |n: usize| {
        json!({"id": n, "pullrequest": {"id": n}, "created_on": time(24 * n), "updated_on": time(24 * n),
            "content": {"raw": "hm"}, "deleted": false})
    };
    write("pull_request_comments", [40, 51].map(comment).into());
    let commits = |n: usize| json!({"pull_request": n, "hashes": [hash(2)]});
    write("pull_request_commits", [46, 50, 51].map(commits).into());
    let pipeline = |n: usize| {
        let state = match n {
            3 => json!({"name": "IN_PROGRESS", "stage": {"name": "PAUSED"}}),
            _ => json!({"name": "COMPLETED", "result": {"name": "SUCCESSFUL"}}),
        };
        json!({"type": "pipeline", "uuid": format!("{{p{n}}}"), "build_number": n, "created_on": time(1300 + n),
            "state": state, "target": {"ref_name": "main", "commit": {"hash": hash(101)}}})
    };
    write("pipelines", (1..=3).map(pipeline).collect());
    let step = |n: usize| json!({"uuid": format!("{{s{n}}}"), "pipeline": {"uuid": format!("{{p{n}}}")}, "name": "deploy"});
    write("pipeline_steps", (1..=3).map(step).collect());
    let state =
        json!({"name": "COMPLETED", "completed_on": time(1302), "status": {"name": "SUCCESSFUL"}});
    let release = json!({"pipeline": {"uuid": "{p1}"}, "created_on": time(1301)});
    let deployment = json!({"uuid": "{d1}", "state": state, "release": release, "environment": {"uuid": "{e1}"}});
    write("deployments", vec![deployment]);
    write(
        "environments",
        vec![json!({"uuid": "{e1}", "name": "live"})],
    );
}

/// Pull requests 46 and 50 do not name their merge commits, so that their own lists have to be read.
fn pull_request(n: usize) -> Value {
    let state = match n {
        51 => "OPEN",
        46 | 48 | 50 => "MERGED",
        _ => "DECLINED",
    };
    let side = |name: &str, n: usize| json!({"branch": {"name": name}, "commit": {"hash": &hash(n)[..12]}});
    let merge = (state == "MERGED" && n != 46 && n != 50).then(|| json!({"hash": &hash(3)[..12]}));
    let comments = usize::from(n == 40 || n == 51);
    json!({"type": "pullrequest", "id": n, "title": format!("Change {n}"), "state": state, "created_on": time(24 * n),
        "updated_on": time(24 * n), "comment_count": comments, "source": side("feature", 2),
        "destination": side("main", 1), "merge_commit": merge})
}

async fn bench(workspace: &Path, now: DateTime<Utc>) -> Bench {
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(workspace)).await;
    bench.include = "acme/web".to_owned();
    bench.more = RULES.to_owned();
    bench.now = now;
    bench
}

/// Copy the fixture into a bench's lake, with the address of its sandbox in the cursors.
fn take_over(bench: &Bench) {
    let lake = bench.lake.folder().unwrap();
    copy(&former_lake(), lake);
    let state = lake.join("_bitlake/state/1/web.json");
    let text = std::fs::read_to_string(&state).unwrap();
    assert!(text.contains(ENDPOINT));
    std::fs::write(&state, text.replace(ENDPOINT, &bench.sandbox.endpoint())).unwrap();
}

/// Count the requests for each path; those for later pages are named `next`.
fn requests(bench: &Bench) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for line in bench.sandbox.request_log() {
        let (path, query) = line.split_once('?').unwrap_or((&line, ""));
        let is_next =
            query.contains("ctx=") || query.contains("&page=") && !query.contains("&page=1");
        let path = path.trim_start_matches("/2.0/").trim_end_matches('/');
        let path = path.trim_start_matches("repositories/acme/web/");
        let name = if is_next {
            format!("{path} next")
        } else {
            path.to_owned()
        };
        *counts.entry(name).or_insert(0) += 1;
    }
    let line = |(name, n): (String, usize)| format!("{n} {name}");
    counts.into_iter().map(line).collect()
}

#[tokio::test]
async fn a_run_over_a_lake_of_the_version_before_requests_only_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    write_workspace(folder.path());
    let now = at("2026-11-30T12:00:00Z");
    let mut resumed = bench(folder.path(), now).await;
    take_over(&resumed);
    let before = resumed.state().await;
    resumed.complete().await;
    assert_eq!(
        requests(&resumed),
        [
            "1 commits next",
            "1 deployments",
            "1 environments",
            "1 pipelines",
            "1 pipelines/%7Bp1%7D/steps",
            "1 pipelines/%7Bp2%7D/steps",
            "1 pullrequests",
            "1 pullrequests next",
            "1 pullrequests/40/comments",
            "1 pullrequests/48/commits",
            "1 pullrequests/51/comments",
            "1 pullrequests/activity",
            "1 pullrequests/activity next",
            "1 repositories/acme/web",
            "1 workspaces/acme/members",
        ]
    );
    // The segments of the version before are part of the lists.
    let after = resumed.state().await;
    for (table, list) in &before.entities {
        let kept = &after.list(table).segments[..list.segments.len()];
        assert_eq!(kept, list.segments, "{table}");
        assert!(after.list(table).backfill.is_none(), "{table}");
    }
    let mut undisturbed = bench(folder.path(), now).await;
    undisturbed.complete().await;
    resumed.transform(&[]).await.unwrap();
    undisturbed.transform(&[]).await.unwrap();
    assert_eq!(resumed.source(), undisturbed.source());
}

#[tokio::test]
async fn a_state_of_the_version_before_is_read_and_written_in_the_new_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::create(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
    copy(&former_lake(), folder.path());
    let (state, version) = lake.state(1, "{web}").await.unwrap().unwrap();
    let kinds = |table: &str| {
        let pending = state.list(table).pending.iter();
        pending
            .map(|record| record.kind.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds("pipeline_steps"),
        [PendingKind::Fetch, PendingKind::Fetch]
    );
    assert!(matches!(
        kinds("pipelines")[..],
        [PendingKind::PipelineUpdate { .. }]
    ));
    assert!(matches!(
        kinds("pull_request_comments")[0],
        PendingKind::Comments(_)
    ));
    assert!(matches!(
        kinds("pull_request_commits")[0],
        PendingKind::Commits(_)
    ));
    assert!(state.list("pipeline_steps").is_by_parent());
    assert_eq!(state.list("issues").status, ListStatus::Unavailable);
    assert!(state.list("issues").unavailable_on.is_some());
    let cursor = state.list("commits").backfill.as_ref().unwrap();
    assert!(cursor.watermark.is_some() && cursor.heads.len() == 2);

    lake.put_state(&state, Some(&version)).await.unwrap();
    let written = std::fs::read_to_string(folder.path().join("_bitlake/state/1/web.json")).unwrap();
    for former in [
        "deep",
        "border",
        "queue",
        "talk",
        "ends",
        "seen",
        "absent_on",
        "reconciled_on",
    ] {
        assert!(!written.contains(&format!("\"{former}\"")), "{former}");
    }
    let (again, _) = lake.state(1, "{web}").await.unwrap().unwrap();
    assert_eq!(again, state);
}

/// The configuration's sections behind those that every configuration has.
const RULES: &str = "[sync]\nsince = \"2026-01-01\"\n[rules.default]\nsteps = \"all\"";

/// Makes the fixture again: `BITLAKE_FORMER` names the program of the version before.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the fixture by the program of the version before"]
async fn write_former_lake() {
    let former = std::env::var("BITLAKE_FORMER").expect("BITLAKE_FORMER names the program");
    let folder = tempfile::tempdir().unwrap();
    write_workspace(folder.path());
    let sandbox = Sandbox::builder().workspace_dir(folder.path()).start(8090);
    let sandbox = sandbox.await.unwrap();
    assert_eq!(sandbox.endpoint(), ENDPOINT);
    let lake = former_lake();
    let _ = std::fs::remove_dir_all(&lake);
    let config = format!(
        "[lake]\nurl = \"{}\"\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{ENDPOINT}\"\n\
         auth = \"access-token\"\ntoken = {{ env = \"TOKEN\" }}\nrequests_per_hour = {REQUESTS}\n\
         [[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/web\"]\n{RULES}\n",
        lake.display()
    );
    let file = folder.path().join("bitlake.toml");
    std::fs::write(&file, config).unwrap();
    let run = tokio::task::spawn_blocking(move || {
        let mut program = Command::new(former);
        program
            .args(["collect", "--deadline", "3s", "--config"])
            .arg(file);
        program.env("TOKEN", "s3cr3t").output().unwrap()
    });
    let run = run.await.unwrap();
    assert_eq!(run.status.code(), Some(4), "{run:?}");
    // Only states and segments are read here.
    for name in ["runs", "budget", "lock", "objects.lock"] {
        let path = lake.join("_bitlake").join(name);
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
    }
}
