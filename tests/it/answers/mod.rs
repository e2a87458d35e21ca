//! The outcome of every list for every bad reply. docs/src/api-behaviour.md has the same table.

mod budget;
mod random;
mod secrets;
pub mod workspace;

use std::collections::BTreeMap;
use std::time::Duration;

use bitlake::bitbucket::Limits;
use bitlake::error::ErrorKind;
use bitlake::lake::ListStatus;
use bitlake_sandbox::{Fault, Interruption, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::*;

/// A list: its table, the common part of its requests, its parameters, and its next page.
struct List {
    table: &'static str,
    path: &'static [&'static str],
    asks: &'static [Asks],
    follows_next: bool,
    /// The list whose absence makes the collector request this one.
    instead_of: Option<&'static str>,
}

impl List {
    /// Branches and tags share one list; if it is refused, each has its own.
    fn is_refs(&self) -> bool {
        self.path == [REFS]
    }
}

const REFS: &str = "/web/refs?";

#[derive(Clone, Copy, PartialEq)]
enum Asks {
    Sort,
    Fields,
    /// Tables whose records are embedded in this list.
    Embedded,
}

const fn list(
    table: &'static str,
    path: &'static [&'static str],
    asks: &'static [Asks],
    follows_next: bool,
) -> List {
    List {
        table,
        path,
        asks,
        follows_next,
        instead_of: None,
    }
}

const fn own(table: &'static str, path: &'static [&'static str]) -> List {
    List {
        instead_of: Some(REFS),
        ..list(table, path, &[Fields], true)
    }
}

use Asks::{Embedded, Fields, Sort};

const LISTS: [List; 15] = [
    list(
        "workspace_members",
        &["/workspaces/acme/members"],
        &[],
        true,
    ),
    list("branches", &[REFS], &[Fields], true),
    own("branches", &["/web/refs/branches"]),
    own("tags", &["/web/refs/tags"]),
    list("commits", &["/web/commits"], &[Fields], true),
    list(
        "pull_requests",
        &["/web/pullrequests?"],
        &[Sort, Fields, Embedded],
        true,
    ),
    list(
        "pull_request_comments",
        &["/web/pullrequests/", "/comments"],
        &[],
        true,
    ),
    list(
        "pull_request_commits",
        &["/web/pullrequests/", "/commits"],
        &[Fields],
        true,
    ),
    list(
        "pull_request_activity",
        &["/web/pullrequests/activity"],
        &[],
        true,
    ),
    list("issues", &["/web/issues?"], &[Sort], true),
    list("issue_comments", &["/web/issues/", "/comments"], &[], true),
    list("issue_changes", &["/web/issues/", "/changes"], &[], true),
    list("pipelines", &["/web/pipelines/?"], &[Sort], false),
    list(
        "pipeline_steps",
        &["/web/pipelines/", "/steps/"],
        &[Fields],
        false,
    ),
    list(
        "deployments",
        &["/web/deployments/"],
        &[Sort, Fields, Embedded],
        false,
    ),
];

/// The outcome of a list that meets a bad reply; nothing of the reply is stored unless it passes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    /// The list is complete, as without the fault.
    Passes,
    /// The list is unavailable, with its reason; that is no failure.
    Absent,
    /// This list fails, and with it the lists that depend on it; the others continue.
    Fails,
    /// The run stops in order and can be resumed.
    Stops,
    /// The run fails.
    Ends(ErrorKind),
}

use Outcome::{Absent, Ends, Fails, Passes, Stops};

fn limits() -> Limits {
    Limits {
        retries: 2,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(2),
        rate_limit_retries: 3,
        rate_limit_first_wait: Duration::from_millis(1),
        rate_limit_longest_wait: Duration::from_millis(2),
        max_reply_bytes: 1 << 20,
        max_pages: 30,
        ..Limits::default()
    }
}

/// The workspace that all cases of a test share.
fn served() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    workspace::write(folder.path());
    folder
}

/// Limits with timeouts short enough for a test of a silent server.
fn impatient() -> Limits {
    Limits {
        read_timeout: Duration::from_millis(200),
        retries: 1,
        ..limits()
    }
}

async fn bench(folder: &TempDir) -> Bench {
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder.path())).await;
    bench.limits = limits();
    bench
}

async fn stored(bench: &Bench) -> BTreeMap<&'static str, Vec<String>> {
    let mut stored = BTreeMap::new();
    for list in &LISTS[1..] {
        stored.insert(list.table, bench.keys(list.table).await);
    }
    stored
}

async fn each(
    faults: impl Fn(&List, Fault) -> Vec<Fault>,
    usual: Outcome,
    other: impl Fn(&List) -> Option<Outcome>,
) {
    each_within(limits(), faults, usual, other).await;
}

/// Apply these faults to every list, one at a time; `other` returns the outcome of a list that differs from `usual`.
async fn each_within(
    limits: Limits,
    faults: impl Fn(&List, Fault) -> Vec<Fault>,
    usual: Outcome,
    other: impl Fn(&List) -> Option<Outcome>,
) {
    let folder = served();
    let mut undisturbed = bench(&folder).await;
    undisturbed.complete().await;
    let whole = stored(&undisturbed).await;
    assert!(whole.values().all(|rows| !rows.is_empty()), "{whole:?}");
    for list in &LISTS {
        let mut bench = bench(&folder).await;
        bench.limits = limits.clone();
        let on = list
            .path
            .iter()
            .fold(Fault::default(), |fault, part| fault.and(*part));
        for fault in faults(list, on) {
            bench.sandbox.inject(fault);
        }
        if let Some(path) = list.instead_of {
            bench.sandbox.inject(Fault::on(path).status(404));
        }
        let outcome = other(list).unwrap_or(usual);
        let report = match (bench.run().await, outcome) {
            (Err(error), Ends(kind)) => {
                assert_eq!(error.kind(), kind, "{}: {error}", list.table);
                continue;
            }
            (Err(error), _) => panic!("{}: {error}", list.table),
            (Ok(_), Ends(_)) => panic!("{} did not end the run", list.table),
            (Ok(report), _) => report,
        };
        assert!(
            bench.asked(list.path) > 0,
            "{} was never asked for",
            list.table
        );
        assert_eq!(
            report.stopped.is_some(),
            outcome == Stops,
            "{}: {report:?}",
            list.table
        );
        if outcome == Stops {
            continue;
        }
        let repository = match list.table {
            "workspace_members" => "acme",
            _ => "acme/web",
        };
        let entity = of(&report, repository, list.table);
        let expected = match outcome {
            Passes => ListStatus::Complete,
            Absent => ListStatus::Unavailable,
            _ => ListStatus::Failed,
        };
        assert_eq!(
            entity.status,
            Some(expected),
            "{}: {:?}",
            list.table,
            entity.reason
        );
        for (repository, table, entity) in report.incomplete() {
            let same = repository == "acme/web" || repository == "acme";
            assert!(
                same,
                "{repository} {table} suffers from {}: {entity:?}",
                list.table
            );
        }
        let rows = stored(&bench).await;
        match outcome {
            Passes => assert_eq!(rows, whole, "{}", list.table),
            // Complete pages before the fault are saved.
            _ if bench.asked(list.path) > 10 => {}
            _ => assert!(
                rows.get(list.table).is_none_or(Vec::is_empty),
                "{}",
                list.table
            ),
        }
    }
}

fn always(_: &List) -> Option<Outcome> {
    None
}

/// Return whether another list replaces this one when it is refused for good.
fn but_for_refs(list: &List) -> Option<Outcome> {
    list.is_refs().then_some(Passes)
}

#[tokio::test]
async fn a_400_on_the_page_length_is_asked_again_with_less() {
    let refusal = json!({"type": "error", "error": {"message": "Invalid pagelen"}});
    each(
        |_, on| vec![on.times(1).status(400).body(refusal.clone())],
        Passes,
        always,
    )
    .await;
}

#[tokio::test]
async fn a_400_on_the_sort_is_asked_again_without_and_is_a_failure_where_there_is_nothing_to_drop()
{
    let refusal = json!({"error": {"message": "Bad request", "detail": "Invalid sort attribute"}});
    each(
        |_, on| vec![on.times(1).status(400).body(refusal.clone())],
        Passes,
        |list| list.asks.is_empty().then_some(Fails),
    )
    .await;
}

#[tokio::test]
async fn a_401_ends_the_run() {
    // Repository access tokens may not read the members; the server answers 401.
    let members = |list: &List| (list.table == "workspace_members").then_some(Absent);
    let ends = Ends(ErrorKind::Credentials);
    each(|_, on| vec![on.status(401)], ends, members).await;
}

#[tokio::test]
async fn a_403_is_an_absence_with_and_without_a_scope() {
    let scope = json!({"type": "error", "error": {"message": "Your credentials lack one or more required privilege \
        scopes.", "detail": {"required": ["read:x:bitbucket"], "granted": []}}});
    each(
        |_, on| vec![on.status(403).body(scope.clone())],
        Absent,
        always,
    )
    .await;
    each(|_, on| vec![on.status(403)], Absent, always).await;
}

#[tokio::test]
async fn a_404_or_410_is_an_absence() {
    // Without the feed of all pull requests, the activity of each pull request is requested.
    let other = |list: &List| {
        let is_feed = list.table == "pull_request_activity";
        (is_feed || list.is_refs()).then_some(Passes)
    };
    each(|_, on| vec![on.status(404)], Absent, other).await;
    each(|_, on| vec![on.status(410)], Absent, always).await;
}

#[tokio::test]
async fn a_refused_later_page_fails_the_list() {
    for status in [403, 404, 410] {
        let other = |list: &List| (list.is_refs() && status == 404).then_some(Passes);
        each(
            |_, on| vec![on.clone().times(1).endless(), on.status(status)],
            Fails,
            other,
        )
        .await;
    }
}

#[tokio::test]
async fn transient_statuses_are_retried_and_fail_the_list_when_they_persist() {
    for status in [408, 500, 502, 503, 504] {
        each(|_, on| vec![on.times(2).status(status)], Passes, always).await;
        let other = match status {
            500 | 504 => but_for_refs,
            _ => always,
        };
        each(|_, on| vec![on.status(status)], Fails, other).await;
    }
}

#[tokio::test]
async fn a_429_is_retried_and_stops_the_run_when_it_persists() {
    each(|_, on| vec![on.times(2).status(429)], Passes, always).await;
    let waits = |on: Fault| on.times(2).status(429).header("retry-after", "0");
    each(|_, on| vec![waits(on)], Passes, always).await;
    each(|_, on| vec![on.status(429)], Stops, always).await;
}

#[tokio::test]
async fn a_555_is_asked_once_more() {
    each(|_, on| vec![on.times(1).status(555)], Passes, always).await;
    each(|_, on| vec![on.status(555)], Fails, always).await;
}

#[tokio::test]
async fn a_web_page_fails_the_list() {
    let page = "<html><title>Sign in</title></html>";
    each(
        |_, on| vec![on.body(page).header("content-type", "text/html")],
        Fails,
        always,
    )
    .await;
}

#[tokio::test]
async fn nothing_half_of_it_or_another_shape_is_asked_again_and_then_fails_the_list() {
    for cut in [
        Interruption::Text(0),
        Interruption::Text(20),
        Interruption::Body(20),
    ] {
        each(|_, on| vec![on.times(2).cut(cut)], Passes, always).await;
        each(|_, on| vec![on.cut(cut)], Fails, always).await;
    }
    let shapes = [
        json!([]),
        json!({"values": {}}),
        json!({"size": 3}),
        json!({"values": ["x"]}),
    ];
    for shape in shapes {
        each(|_, on| vec![on.body(shape.clone())], Fails, always).await;
    }
}

#[tokio::test]
async fn a_next_that_repeats_or_leads_elsewhere_fails_a_list_that_follows_it() {
    for next in ["{endpoint}x?page=2", "https://elsewhere.example/2.0/x"] {
        let next: Value = next.into();
        let counted = |list: &List| (!list.follows_next).then_some(Passes);
        each(
            |_, on| {
                let page = json!({"values": [], "next": next});
                let same = Fault::on("/2.0/x").body(page);
                vec![on.set("next", next.clone()), same]
            },
            Fails,
            counted,
        )
        .await;
    }
}

#[tokio::test]
async fn a_list_without_end_fails() {
    each(|_, on| vec![on.endless()], Fails, always).await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again_and_fails_the_list_when_it_keeps_breaking() {
    each(
        |_, on| vec![on.times(2).cut(Interruption::Connection)],
        Passes,
        always,
    )
    .await;
    each(
        |_, on| vec![on.cut(Interruption::Connection)],
        Fails,
        always,
    )
    .await;
}

#[tokio::test]
async fn a_silence_is_given_up_and_asked_again() {
    let late = Duration::from_secs(60);
    let faults = |_: &List, on: Fault| vec![on.times(1).delay(late)];
    each_within(impatient(), faults, Passes, always).await;
    let faults = |_: &List, on: Fault| vec![on.times(1).cut(Interruption::Stall(20))];
    each_within(impatient(), faults, Passes, always).await;
    let faults = |_: &List, on: Fault| vec![on.delay(late)];
    each_within(impatient(), faults, Fails, always).await;
}

#[tokio::test]
async fn a_reply_that_does_not_fit_fails_the_list_packed_or_not() {
    each(|_, on| vec![on.huge(100 << 20)], Fails, always).await;
    each(|_, on| vec![on.huge(100 << 20).gzip()], Fails, always).await;
}

#[tokio::test]
async fn a_clock_far_ahead_is_no_watermark() {
    let folder = served();
    let mut bench = bench(&folder).await;
    let ahead = "Thu, 01 Jan 2037 00:00:00 GMT";
    bench.sandbox.inject(Fault::on("/").header("date", ahead));
    bench.complete().await;
    for (table, entity) in bench.state().await.entities {
        let through = entity.complete_through;
        assert!(
            through.is_none_or(|at| at < self::at("2026-12-01T00:00:00Z")),
            "{table}: {through:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_scope_is_asked_for_once() {
    let folder = served();
    let mut bench = bench(&folder).await;
    let scope = json!({"error": {"message": "no", "detail": {"required": ["read:pipeline:bitbucket"], "granted": []}}});
    for path in ["/pipelines/", "/deployments/", "/environments/"] {
        bench
            .sandbox
            .inject(Fault::on(path).status(403).body(scope.clone()));
    }
    let report = bench.complete().await;
    for table in ["pipelines", "deployments", "environments"] {
        let entity = web(&report, table);
        assert_eq!(entity.status, Some(ListStatus::Unavailable), "{table}");
        assert!(
            entity
                .reason
                .as_ref()
                .unwrap()
                .contains("lacks scope read:pipeline:bitbucket")
        );
    }
    let asked = ["/pipelines/", "/deployments/", "/environments/"].map(|path| bench.asked(&[path]));
    assert_eq!(asked.iter().sum::<usize>(), 1, "{asked:?}");
}
