//! Whole collections: complete, repeatable, and without unwanted requests.

use super::*;

#[tokio::test]
async fn the_demo_arrives_whole() {
    let mut bench = Bench::new(Sandbox::builder().demo()).await;
    bench.more = "[sync]\nsince = \"2020-01-01\"".to_owned();
    let report = bench.complete().await;
    let demo = fixture("demo/acme");
    let mut checked = 0;
    for repository in std::fs::read_dir(&demo).unwrap() {
        let folder = repository.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let name = format!("acme/{}", folder.file_name().unwrap().to_str().unwrap());
        for table in [
            "branches",
            "tags",
            "pull_requests",
            "pull_request_comments",
            "pipelines",
            "pipeline_steps",
            "deployments",
            "environments",
            "issues",
            "issue_comments",
            "issue_changes",
        ] {
            let path = folder.join(format!("{table}.jsonl"));
            if path.exists() {
                let entity = of(&report, &name, table);
                let kept = entity.records + entity.drafts;
                // A deleted comment is not in the feed and not counted.
                let text = std::fs::read_to_string(&path).unwrap();
                let there = text
                    .lines()
                    .filter(|line| !line.contains("\"deleted\":true"));
                let there = there.count() as u64;
                let all = lines(&path) as u64;
                assert!((there..=all).contains(&kept), "{name} {table}: {entity:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked}");
    assert!(report.requests.values().sum::<u64>() > 0);
    assert_eq!(
        of(&report, "acme", "workspace_members").status,
        Some(ListStatus::Complete)
    );
}

#[tokio::test]
async fn a_second_run_keeps_since_and_moving_it_back_asks_for_the_gap_only() {
    let (mut bench, _) = Bench::copy_of("pull_request_commits_bare_not_found").await;
    bench.more = "[sync]\nsince = \"6 months\"".to_owned();
    bench.complete().await;
    let (since, first) = (bench.state().await.since, bench.keys("pull_requests").await);
    bench.complete().await;
    assert_eq!(bench.state().await.since, since);
    assert_eq!(
        bench.keys("pull_requests").await,
        first,
        "nothing is read twice"
    );

    bench.more = "[sync]\nsince = \"2026-02-01\"".to_owned();
    bench.sandbox.reset_requests();
    bench.complete().await;
    let state = bench.state().await;
    assert_eq!(state.since, at("2026-02-01T00:00:00Z"));
    let pull_requests = &state.entities["pull_requests"];
    assert_eq!(pull_requests.complete_from, Some(state.since));
    assert_eq!(state.entities["commits"].complete_from, None);
    // One request for new records, one for the gap.
    assert_eq!(bench.asked(&["/pullrequests?"]), 2);
    assert_eq!(bench.asked(&["/pullrequests?", "2026-02-01", "AND"]), 1);
}

#[tokio::test]
async fn the_watermark_is_the_servers_clock() {
    let date = at("2026-11-20T08:00:00Z");
    let folder = fixture("quirks/fractionless_times");
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder)).await;
    bench.date = Some(date);
    bench.complete().await;
    for (table, entity) in bench.state().await.entities {
        if entity.status == ListStatus::Complete {
            assert_eq!(entity.complete_through, Some(date), "{table}");
        }
    }
}

#[tokio::test]
async fn an_entity_left_out_costs_no_request() {
    let mut bench = Bench::quirk("deployment_stopped").await;
    bench.more = "[rules.default]\nentities = [\"cicd\"]".to_owned();
    bench.complete().await;
    for path in ["/refs/", "/commits", "/pullrequests", "/issues", "/members"] {
        assert_eq!(bench.asked(&[path]), 0, "{path}");
    }
    assert!(bench.asked(&["/pipelines/"]) > 0);
}
