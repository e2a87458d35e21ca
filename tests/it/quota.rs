//! The requests of a collection by list: the sandbox counts them, and one more for a repository is a failure.

use std::collections::BTreeMap;

use bitlake::collect::plan::{Plan, VisitKind, total};
use bitlake::collect::{CollectReport, StopSignal};
use bitlake_sandbox::{Day, Fault, ListSizes, Sandbox, SyntheticWorkspace};
use chrono::{TimeDelta, Utc};

use super::demo::{bitlake, text as program_text};
use super::support::*;

const REPOSITORIES: usize = 3;

async fn estate() -> Bench {
    let estate = SyntheticWorkspace {
        repositories: REPOSITORIES,
        pull_requests: 100,
        pipelines: 500,
        squashed: 25,
        past: TimeDelta::days(60),
        now: at("2026-11-23T10:00:00Z"),
        ..SyntheticWorkspace::default()
    };
    let mut bench = Bench::new(Sandbox::builder().synthetic(estate)).await;
    bench.connection.push_str("\nrequests_per_hour = 100000");
    bench.more =
        "[sync]\nsince = \"2026-01-01\"\n[rules.default]\nsteps = \"deployments\"".to_owned();
    bench
}

/// Advance the workspace by a day and collect.
async fn night(bench: &mut Bench, day: &Day) {
    bench.now = bench.sandbox.advance(day).unwrap();
    bench.sandbox.reset_requests();
    bench.complete().await;
}

/// Count requests by the end of their route.
fn spent(bench: &Bench) -> BTreeMap<String, usize> {
    let below = |route: String| match route.split_once("{repo_slug}") {
        Some((_, below)) => below.to_owned(),
        None => route,
    };
    let counts = bench.sandbox.requests().into_iter();
    counts
        .map(|(route, n)| (below(route), n as usize))
        .collect()
}

/// Return the allowed requests of each repository's lists, and those of the workspace.
fn allowed(
    bench: &Bench,
    lists: impl Fn(ListSizes) -> Vec<(&'static str, usize)>,
) -> BTreeMap<String, usize> {
    let once = [
        "GET /repositories/{workspace}",
        "GET /workspaces/{workspace}/members",
    ];
    let mut allowed = BTreeMap::from(once.map(|route| (route.to_owned(), 1)));
    for number in 0..REPOSITORIES {
        for (list, n) in lists(bench.sandbox.sizes(number).unwrap()) {
            *allowed.entry(list.to_owned()).or_default() += n;
        }
    }
    allowed
}

#[tokio::test]
async fn a_first_load_costs_the_pages_of_its_lists_and_a_request_for_each_squash() {
    let mut bench = estate().await;
    bench.complete().await;
    let pages = |records: usize, pagelen: usize| records.div_ceil(pagelen);
    let lists = |sizes: ListSizes| {
        vec![
            ("/refs", pages(sizes.branches + sizes.tags, 100)),
            ("/commits", pages(sizes.commits, 100)),
            ("/pullrequests", pages(sizes.pull_requests, 50)),
            ("/pullrequests/activity", pages(sizes.activity, 50)),
            ("/pullrequests/{pull_request_id}/commits", sizes.squashed),
            ("/pipelines/", pages(sizes.pipelines, 100)),
            ("/deployments/", pages(sizes.deployments, 100)),
            ("/environments/", 1),
        ]
    };
    assert_eq!(spent(&bench), allowed(&bench, lists));
}

#[tokio::test]
async fn a_night_costs_a_page_of_each_list_and_an_idle_one_three_requests() {
    let mut bench = estate().await;
    bench.complete().await;
    let day = Day {
        opened: 3,
        closed: 3,
        touched: 10,
        entries: 16,
        pipelines: 20,
    };
    night(&mut bench, &day).await;
    let lists = |_| {
        let lists = [
            "/refs",
            "/commits",
            "/pullrequests",
            "/pullrequests/activity",
            "/pipelines/",
            "/deployments/",
        ];
        lists.map(|list| (list, 1)).to_vec()
    };
    assert_eq!(spent(&bench), allowed(&bench, lists));

    night(&mut bench, &Day::default()).await;
    let lists = |_| {
        ["/pullrequests", "/pipelines/", "/deployments/"]
            .map(|list| (list, 1))
            .to_vec()
    };
    assert_eq!(spent(&bench), allowed(&bench, lists));
}

/// Return the planned requests and those of the following run, by list.
async fn planned_and_spent(bench: &mut Bench) -> (f64, u64) {
    let plan = bench.plan().await;
    let report = bench.complete().await;
    assert_eq!(
        report.planned.values().sum::<u64>() as f64,
        total(&plan.next()).round()
    );
    (total(&plan.next()), report.requests.values().sum())
}

fn is_within_a_twentieth((planned, spent): (f64, u64)) -> bool {
    (planned - spent as f64).abs() <= spent as f64 / 20.0
}

#[tokio::test]
async fn a_plan_is_within_five_percent_of_first_load_usual_day_and_idle_run() {
    let mut bench = estate().await;
    let first = planned_and_spent(&mut bench).await;
    assert!(is_within_a_twentieth(first), "first load: {first:?}");

    let day = Day {
        opened: 3,
        closed: 3,
        touched: 10,
        entries: 16,
        pipelines: 20,
    };
    bench.now = bench.sandbox.advance(&day).unwrap();
    let usual = planned_and_spent(&mut bench).await;
    assert!(is_within_a_twentieth(usual), "usual day: {usual:?}");

    bench.now = bench.sandbox.advance(&Day::default()).unwrap();
    let plan = bench.plan().await;
    assert_eq!(
        plan.spent, 1,
        "what is known is planned without a request of its own"
    );
    assert!(
        plan.repositories
            .iter()
            .all(|one| one.kind == VisitKind::Update)
    );
    let idle = planned_and_spent(&mut bench).await;
    assert!(is_within_a_twentieth(idle), "idle night: {idle:?}");
}

#[tokio::test]
async fn a_plan_counts_only_records_after_since() {
    let mut bench = estate().await;
    // The last twenty of sixty days.
    bench.more = "[sync]\nsince = \"2026-11-03\"\n[rules.default]\nsteps = \"all\"".to_owned();
    let (planned, spent) = planned_and_spent(&mut bench).await;
    // Most of them are the steps of a third of all pipelines.
    assert!((550..600).contains(&spent), "{spent}");
    let off = (planned - spent as f64).abs() / spent as f64;
    assert!(off < 0.1, "{planned} {spent}");
}

#[tokio::test]
async fn a_new_repository_that_cannot_be_asked_does_not_keep_the_others_from_being_planned() {
    let mut bench = estate().await;
    let fault = Fault::on("repo-001/pullrequests").status(418);
    bench.sandbox.inject(fault);
    let plan = bench.plan().await;
    let reasons: Vec<_> = plan
        .repositories
        .iter()
        .map(|one| one.reason.is_some())
        .collect();
    assert_eq!(reasons, [false, true, false]);
    // A run with unplanned new repositories has no planned total.
    bench.sandbox.clear_faults();
    let report = bench.complete().await;
    assert_eq!(of(&report, "acme/repo-000", "pipelines").planned, Some(5));
}

#[tokio::test]
async fn a_load_that_was_interrupted_is_planned_from_where_it_stopped() {
    let mut bench = estate().await;
    let plan = bench.plan().await;
    let all = total(&plan.next());
    bench.stops_after = Some(40);
    let stopped = bench.run().await.unwrap();
    assert!(stopped.stopped.is_some());
    let spent = stopped.requests.values().sum::<u64>();
    bench.stops_after = None;
    bench.stop = StopSignal::new(None);
    let plan = bench.plan().await;
    assert!(
        plan.repositories
            .iter()
            .any(|one| one.kind == VisitKind::Unfinished)
    );
    let rest = total(&plan.next());
    let left = stopped.requests_left as f64;
    assert!(
        (left - rest).abs() <= rest / 20.0,
        "{left} are left, {rest} were planned"
    );
    let report = bench.complete().await;
    assert_eq!(report.requests_left, 0);
    let more = report.requests.values().sum::<u64>() as f64;
    assert!(
        (rest - more).abs() <= 0.1 * all,
        "{spent} of {all}, then {more}: {rest} were planned"
    );
}

#[tokio::test]
async fn a_plan_defers_the_repositories_that_the_run_right_after_it_defers() {
    let mut bench = estate().await;
    bench.complete().await;
    night(&mut bench, &Day::default()).await;
    let forget_spent_requests = |bench: &Bench| {
        std::fs::remove_dir_all(bench.lake.folder().unwrap().join("_bitlake/budget")).unwrap();
    };
    let unlimited = bench.connection.clone();
    let limit_to = |bench: &mut Bench, limit: u32| {
        let limit = format!("requests_per_hour = {limit}");
        bench.connection = unlimited.replace("requests_per_hour = 100000", &limit);
    };

    // Planning and the run's own lists take 1 + 2 requests, so there is room for two visits of three requests.
    forget_spent_requests(&bench);
    limit_to(&mut bench, 9);
    let plan = bench.plan().await;
    let kinds: Vec<_> = plan.repositories.iter().map(|one| one.kind).collect();
    assert_eq!(
        kinds,
        [VisitKind::Update, VisitKind::Update, VisitKind::Deferred]
    );
    assert_eq!(total(&plan.next()), 2.0 + 2.0 * 3.0);
    assert_eq!(plan.budgets[0].requests_per_hour, 9);
    assert_eq!(plan.budgets[0].left, 8);
    let report = bench.run().await.unwrap();
    assert_eq!(deferred_by(&report), deferred_in(&plan));

    // A busy hour: a run of all three repositories leaves room for the lists and one visit.
    forget_spent_requests(&bench);
    limit_to(&mut bench, 11 + 1 + 2 + 3);
    let busy = bench.run().await.unwrap();
    assert!(deferred_by(&busy).is_empty());
    let plan = bench.plan().await;
    assert_eq!(deferred_in(&plan).len(), 2);
    let report = bench.run().await.unwrap();
    assert_eq!(deferred_by(&report), deferred_in(&plan));
}

fn deferred_in(plan: &Plan) -> Vec<&str> {
    let repositories = plan.repositories.iter();
    repositories
        .filter(|one| one.kind == VisitKind::Deferred)
        .map(|one| one.repository.as_str())
        .collect()
}

fn deferred_by(report: &CollectReport) -> Vec<&str> {
    let repositories = report.repositories.iter();
    repositories
        .filter(|one| one.deferred)
        .map(|one| one.repository.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_prints_the_requests_of_a_run_and_the_run_prints_the_plan() {
    let estate = SyntheticWorkspace {
        repositories: 1,
        pull_requests: 20,
        pipelines: 150,
        past: TimeDelta::days(30),
        now: Utc::now(),
        ..SyntheticWorkspace::default()
    };
    let sandbox = Sandbox::builder().synthetic(estate).start(0).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bitlake.toml");
    let text = format!(
        "[lake]\nurl = \"{}\"\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{}\"\nauth = \"none\"\n\
         [[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n",
        folder.path().join("lake").display(),
        sandbox.endpoint(),
    );
    std::fs::write(&config, text).unwrap();
    let program = |args: &[&str]| {
        let output = bitlake(&[&["--config", config.to_str().unwrap()], args].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            program_text(&output.stderr)
        );
        program_text(&output.stdout)
    };
    let table = program(&["plan"]);
    let cells = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let lines: Vec<Vec<String>> = table.lines().map(cells).collect();
    for expected in ["pipelines 2 1", "pull_requests 1 1", "environments 1 < 1"] {
        assert!(lines.contains(&cells(expected)), "{expected}:\n{table}");
    }
    assert!(table.contains("acme/repo-000  first load"), "{table}");
    assert!(table.contains(" requests an hour, "), "{table}");
    assert!(
        table.contains("wait for more: none in the next run, none on a usual day"),
        "{table}"
    );
    assert!(table.ends_with("planning took 9 requests\n"), "{table}");

    let plan: serde_json::Value =
        serde_json::from_str(&program(&["plan", "--format", "json"])).unwrap();
    assert_eq!(plan["repositories"][0]["kind"], "first_load");
    assert_eq!(plan["repositories"][0]["next"]["pipelines"], 2.0);
    assert_eq!(plan["spent"], 9);

    let run = program(&["collect"]);
    let collected = run
        .lines()
        .find(|line| line.starts_with("collected "))
        .unwrap();
    assert!(collected.ends_with(" were planned"), "{collected}");
    let numbers: Vec<u64> = cells(collected)
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(
        matches!(numbers[..], [_, 2, spent, planned] if planned.abs_diff(spent) <= 1),
        "{collected}"
    );
}
