//! Requests that are not sent, because their records are known or follow from known records.

use bitlake::config::StepsRule;
use bitlake::lake::ListDetail;
use bitlake_sandbox::Sandbox;
use chrono::TimeDelta;
use tempfile::TempDir;

use super::super::world::World;
use super::*;

/// A changing repository, and the lake of its nightly runs.
struct Place {
    folder: TempDir,
    world: World,
    bench: Bench,
}

impl Place {
    /// Start after the first load.
    async fn after(happened: &[(u8, usize)]) -> Self {
        Self::with("", happened).await
    }

    async fn with(more: &str, happened: &[(u8, usize)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new();
        for (kind, pick) in happened {
            world.happen(*kind, *pick);
        }
        // Changes right before a run are within the lag of the next run as well.
        world.now += TimeDelta::hours(1);
        world.write(folder.path());
        let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder.path())).await;
        bench.more = format!("[sync]\nsince = \"2026-01-01\"\n{more}");
        bench.now = world.now;
        bench.complete().await;
        Self {
            folder,
            world,
            bench,
        }
    }

    /// Apply changes, then run a day later.
    async fn night(&mut self, happens: &[(u8, usize)]) {
        self.world.now += TimeDelta::hours(1);
        for (kind, pick) in happens {
            self.world.happen(*kind, *pick);
        }
        self.world.now += TimeDelta::hours(23);
        self.world.write(self.folder.path());
        self.bench.sandbox.reload().unwrap();
        self.bench.sandbox.reset_requests();
        self.bench.now = self.world.now;
        self.bench.complete().await;
    }

    /// Return the last run's requests for the repository.
    fn asked(&self) -> Vec<String> {
        let log = self.bench.sandbox.request_log();
        let of_web = log.iter().filter_map(|line| line.split("acme/web/").nth(1));
        let lists = of_web.map(|list| list.split('?').next().unwrap_or_default().to_owned());
        lists.collect()
    }

    async fn comments(&self) -> Vec<String> {
        self.bench.transform(&["config"]).await.unwrap();
        let all = "SELECT content['raw'] FROM bitbucket.pull_request_comments ORDER BY id";
        self.bench.query(all).await
    }
}

const QUIET: [&str; 3] = ["pullrequests", "pipelines/", "deployments/"];

#[tokio::test]
async fn a_repository_without_news_costs_three_requests() {
    let happened = [
        (0, 0),
        (4, 0),
        (12, 1),
        (13, 1),
        (15, 0),
        (17, 0),
        (0, 0),
        (10, 0),
    ];
    let mut place = Place::with(
        "[rules.default]\nentities = [\"code\", \"review\", \"cicd\"]",
        &happened,
    )
    .await;
    place.night(&[]).await;
    assert_eq!(place.asked(), QUIET);
    let visit = place.bench.state().await.last_visit.unwrap();
    assert_eq!((visit.requests, visit.quiet), (3, true));
}

#[tokio::test]
async fn refs_and_commits_are_read_when_the_repository_moved() {
    let mut place = Place::after(&[(0, 0), (12, 1)]).await;
    place.night(&[(8, 0)]).await;
    let asked = place.asked();
    let of = |list: &str| asked.iter().filter(|one| *one == list).count();
    assert_eq!((of("refs"), of("commits")), (1, 1));
    assert_eq!((of("refs/branches"), of("refs/tags")), (0, 0));
    place.bench.transform(&["config"]).await.unwrap();
    let tags = "SELECT count(*) FROM bitbucket.tags";
    assert_eq!(place.bench.query(tags).await, ["1"]);
}

#[tokio::test]
async fn where_the_list_of_both_is_refused_branches_and_tags_have_their_own() {
    for status in [400, 404, 500] {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new();
        world.happen(12, 1);
        world.write(folder.path());
        let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder.path())).await;
        bench.sandbox.inject(Fault::on("/refs?").status(status));
        bench.now = world.now;
        bench.complete().await;
        assert_eq!(bench.keys("branches").await, ["main"], "{status}");
        assert_eq!(bench.keys("tags").await.len(), 1, "{status}");
    }
}

#[tokio::test]
async fn environments_are_asked_for_when_a_new_one_is_named_and_once_a_week() {
    let mut place = Place::after(&[(13, 1), (15, 0)]).await;
    let asked = |place: &Place| place.asked().iter().any(|list| list == "environments/");
    place.night(&[(13, 1)]).await;
    assert!(!asked(&place), "known");
    let mut state = place.bench.lake.state(1, "{web}").await.unwrap().unwrap();
    state.0.list_mut("environments").detail = ListDetail::None;
    place
        .bench
        .lake
        .put_state(&state.0, Some(&state.1))
        .await
        .unwrap();
    place.night(&[]).await;
    assert!(asked(&place), "named by a deployment and not known");
    place.world.now += TimeDelta::days(7);
    place.night(&[]).await;
    assert!(asked(&place), "a week has passed");
}

#[tokio::test]
async fn unavailable_lists_are_requested_once_a_week() {
    let mut bench = Bench::quirk("pipelines_disabled_404").await;
    bench.complete().await;
    let asked = |bench: &Bench| bench.asked(&["/pipelines/"]) + bench.asked(&["/deployments/"]);
    assert_eq!(
        asked(&bench),
        1,
        "without pipelines there are no deployments"
    );
    bench.now += TimeDelta::days(1);
    bench.complete().await;
    assert_eq!(asked(&bench), 2, "Bitbucket may have been mistaken");
    bench.now += TimeDelta::days(1);
    bench.complete().await;
    assert_eq!(asked(&bench), 2);
    bench.full = true;
    bench.complete().await;
    assert_eq!(asked(&bench), 3, "asked to look at everything");
    bench.full = false;
    bench.now += TimeDelta::days(8);
    bench.complete().await;
    assert_eq!(asked(&bench), 4);
}

#[tokio::test]
async fn steps_are_read_where_deployments_rest_on_them() {
    let rules = |steps: &str| format!("[rules.default]\nsteps = \"{steps}\"");
    let happened = [(13, 1), (13, 1), (13, 2), (15, 0), (15, 1)];
    let mut place = Place::with(&rules(StepsRule::Deployments.as_str()), &happened).await;
    let steps = |place: &Place| {
        let asked = place.asked();
        asked
            .iter()
            .filter(|list| list.ends_with("/steps/"))
            .count()
    };
    assert_eq!(steps(&place), 0, "each deployment says how it ended");
    // The same pipelines after the rules require all steps.
    place.bench.more = format!("[sync]\nsince = \"2026-01-01\"\n{}", rules("all"));
    place.night(&[]).await;
    assert_eq!(steps(&place), 3);
    place.night(&[]).await;
    assert_eq!(steps(&place), 0, "once");
    place.bench.more = format!("[sync]\nsince = \"2026-01-01\"\n{}", rules("none"));
    place.night(&[(13, 1)]).await;
    assert_eq!(steps(&place), 0);
}

#[tokio::test]
async fn a_deployment_that_does_not_say_how_it_ended_has_its_steps_read() {
    let mut bench = Bench::new(Sandbox::builder().demo()).await;
    bench.include = "acme/checkout-web".to_owned();
    bench.more = "[rules.default]\nsteps = \"deployments\"\nentities = [\"cicd\"]".to_owned();
    let finished = json!({"name": "COMPLETED", "completed_on": "2026-11-20T10:00:00Z"});
    let deployment = json!({"type": "deployment", "uuid": "{d}", "state": finished,
        "release": {"pipeline": {"uuid": "{0f000000-0000-4000-8000-000000000001}"}}});
    let page = json!({"values": [deployment], "size": 1, "page": 1, "pagelen": 100});
    bench.sandbox.inject(Fault::on("/deployments/").body(page));
    bench.complete().await;
    assert_eq!(bench.asked(&["/steps/"]), 1);
}

#[tokio::test]
async fn comments_come_from_the_feed_and_a_list_is_read_only_for_the_rest() {
    // Two pull requests change every night, so that the feed costs fewer requests.
    let mut place = Place::after(&[(0, 0), (0, 0), (4, 0), (4, 1)]).await;
    let lists = |place: &Place| {
        let asked = place.asked();
        asked
            .iter()
            .filter(|list| list.ends_with("/comments"))
            .count()
    };
    assert_eq!(lists(&place), 0);
    assert_eq!(place.comments().await, ["hm", "hm"]);
    place.night(&[(4, 0), (4, 1)]).await;
    assert_eq!(lists(&place), 0);
    assert_eq!(place.comments().await.len(), 4);
    // A comment removed without a trace changes the count.
    place.night(&[(7, 0), (4, 1)]).await;
    assert_eq!(lists(&place), 1);
    assert_eq!(place.comments().await.len(), 4);
    // An edit is the last change, and the feed has no entry for it.
    place.night(&[(4, 1), (6, 1)]).await;
    assert!(lists(&place) >= 1);
    assert!(
        place
            .comments()
            .await
            .iter()
            .any(|text| text.starts_with("2026-"))
    );
}

#[tokio::test]
async fn one_changed_pull_request_is_requested_instead_of_the_feed() {
    let mut place = Place::after(&[(0, 0), (0, 0), (4, 0)]).await;
    let activity = |place: &Place| -> Vec<String> {
        let asked = place.asked().into_iter();
        asked.filter(|list| list.ends_with("activity")).collect()
    };
    assert_eq!(activity(&place), ["pullrequests/activity"]);
    place.night(&[(4, 0)]).await;
    assert_eq!(activity(&place).len(), 1);
    assert_ne!(activity(&place), ["pullrequests/activity"]);
    assert_eq!(place.comments().await.len(), 2);
    place.night(&[]).await;
    assert_eq!(activity(&place), [""; 0]);
    place.night(&[(4, 0), (4, 1)]).await;
    assert_eq!(activity(&place), ["pullrequests/activity"]);
    assert_eq!(place.comments().await.len(), 4);
}

#[tokio::test]
async fn commits_of_a_pull_request_are_asked_for_where_the_graph_does_not_know_its_source() {
    let mut place = Place::after(&[(0, 0), (0, 0), (10, 0), (11, 0)]).await;
    let lists = |place: &Place| {
        let asked = place.asked();
        asked
            .iter()
            .filter(|list| list.starts_with("pullrequests/") && list.ends_with("/commits"))
            .count()
    };
    assert_eq!(lists(&place), 0);
    place.night(&[(0, 0), (8, 0)]).await;
    assert_eq!(lists(&place), 0);
    // Without the repository's commits there is no graph; a list with an unchanged source is not read again.
    let review = "[rules.default]\nentities = [\"review\"]";
    let mut place = Place::with(review, &[(0, 0), (0, 0)]).await;
    assert_eq!(lists(&place), 2);
    place.night(&[(4, 0), (2, 1), (4, 1)]).await;
    assert_eq!(lists(&place), 0);
    place.night(&[(8, 0), (4, 1)]).await;
    assert_eq!(lists(&place), 1);
}

#[tokio::test]
async fn deployments_that_never_end_are_read_once_a_week_when_they_fill_a_page() {
    let never: Vec<_> = (0..120).map(|_| (13, 1)).collect();
    let mut place = Place::after(&never).await;
    let log = |place: &Place| {
        let log = place.bench.sandbox.request_log();
        let of = log.iter().filter(|line| line.contains("/deployments/"));
        of.map(|line| line.contains("state.name=COMPLETED"))
            .collect::<Vec<_>>()
    };
    assert_eq!(log(&place), [false, false]);
    place.night(&[(15, 0)]).await;
    assert_eq!(log(&place), [true]);
    place.bench.transform(&["config"]).await.unwrap();
    let finished = "SELECT count(*) FROM bitbucket.deployments WHERE state['name'] = 'COMPLETED'";
    assert_eq!(place.bench.query(finished).await, ["1"]);
    place.world.now += TimeDelta::days(7);
    place.night(&[]).await;
    assert_eq!(log(&place), [false, false]);
}

#[tokio::test]
async fn idle_repositories_are_deferred_in_turn_when_the_budget_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    world.happen(0, 0);
    world.write(folder.path());
    for n in 0..5 {
        let name = format!("acme/lib-{n}");
        let path = folder.path().join(&name);
        copy(&folder.path().join("acme/web"), &path);
        let file = path.join("repository.json");
        let record = std::fs::read_to_string(&file).unwrap();
        let record = record.replace("{web}", &format!("{{lib-{n}}}"));
        std::fs::write(file, record.replace("acme/web", &name)).unwrap();
    }
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder.path())).await;
    bench.now = world.now + TimeDelta::hours(1);
    bench.complete().await;
    let mut visited = std::collections::BTreeMap::new();
    for night in 1..=3 {
        // The budget suffices for two visits an hour.
        for (mut state, version) in bench.lake.versioned_states().await.unwrap() {
            if let Some(visit) = &mut state.last_visit {
                visit.requests = 400;
                bench.lake.put_state(&state, Some(&version)).await.unwrap();
            }
        }
        bench.now += TimeDelta::days(1);
        let report = bench.complete().await;
        let of_workspace = report.repositories.iter();
        let all: Vec<_> = of_workspace
            .filter(|one| one.repository.contains('/'))
            .collect();
        assert_eq!(all.len(), 6);
        for one in all.iter().filter(|one| !one.deferred) {
            *visited.entry(one.repository.clone()).or_insert(0) += 1;
        }
        let deferred = all.iter().filter(|one| one.deferred).count();
        // The first load itself has new records.
        assert!(night < 2 || deferred > 0, "night {night}");
    }
    assert_eq!(visited.len(), 6, "{visited:?}");
}
