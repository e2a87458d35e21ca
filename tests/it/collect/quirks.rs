//! Quirks of lists, each named after its fixture.

use super::*;

/// Without the repository's commits, the commits of each pull request are requested.
const REVIEW_ONLY: &str =
    "[sync]\nsince = \"2026-01-01\"\n[rules.default]\nentities = [\"review\"]";

#[tokio::test]
async fn pagelen_over_cap_400() {
    let mut bench = Bench::quirk("pagelen_over_cap_400").await;
    bench.complete().await;
    assert_eq!(bench.asked(&["/pullrequests?", "pagelen=100"]), 0);
    assert!(!bench.keys("pull_requests").await.is_empty());
}

#[tokio::test]
async fn pipelines_ignore_q() {
    let (mut bench, folder) = Bench::copy_of("pipelines_ignore_q").await;
    let path = folder.join("deployments.jsonl");
    let deployments = std::fs::read_to_string(&path).unwrap();
    // The second deployment's release is recent and would count as its latest time.
    let (first, second) = deployments.split_once('\n').unwrap();
    let second = second.replace("2026-09-10T09:04:00Z", "2020-01-01T00:00:00Z");
    std::fs::write(&path, format!("{first}\n{second}")).unwrap();
    bench.sandbox.reload().unwrap();
    let report = bench.complete().await;
    let since = bench.state().await.since;
    assert_eq!(web(&report, "pipelines").older, 1);
    assert_eq!(web(&report, "deployments").older, 1);
    assert_eq!(bench.keys("deployments").await.len(), 1);
    for (_, payload) in bench.rows("pipelines").await {
        assert!(at(payload["created_on"].as_str().unwrap()) >= since);
    }
}

#[tokio::test]
async fn pipelines_next_drops_parameters() {
    let (mut bench, web) = Bench::copy_of("pipelines_next_drops_parameters").await;
    bench.more = "[sync]\nsince = \"2000-01-01\"".to_owned();
    bench.complete().await;
    let mut keys = bench.keys("pipelines").await;
    assert!(bench.asked(&["/pipelines/?", "page=2"]) > 0);
    let all = bench.asked(&["/pipelines/?", "page="]);
    assert_eq!(bench.asked(&["/pipelines/?", "sort=-created_on"]), all);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), lines(&web.join("pipelines.jsonl")));
}

#[tokio::test]
async fn pull_request_commits_refuse_page_one() {
    let mut bench = Bench::quirk("pull_request_commits_refuse_page_one").await;
    bench.more = REVIEW_ONLY.to_owned();
    bench.complete().await;
    assert!(!bench.keys("pull_request_commits").await.is_empty());
}

#[tokio::test]
async fn pull_request_commits_beyond_first_page() {
    let mut bench = Bench::quirk("pull_request_commits_beyond_first_page").await;
    bench.complete().await;
    let keys = bench.keys("pull_request_commits").await;
    assert!(keys.len() > 100, "{}", keys.len());
    assert!(
        keys.iter()
            .all(|key| key.split_once(':').unwrap().1.len() == 40)
    );
}

#[tokio::test]
async fn pull_request_commits_bare_not_found() {
    let mut bench = Bench::quirk("pull_request_commits_bare_not_found").await;
    bench.more = REVIEW_ONLY.to_owned();
    let report = bench.complete().await;
    assert_eq!(web(&report, "pull_request_commits").missing_parents, 1);
}

#[tokio::test]
async fn comment_pending_draft() {
    let mut bench = Bench::quirk("comment_pending_draft").await;
    let report = bench.complete().await;
    assert!(web(&report, "pull_request_comments").drafts > 0);
    assert!(web(&report, "pull_request_activity").drafts > 0);
    assert!(!bench.payloads().await.contains("\"pending\":true"));
}

#[tokio::test]
async fn step_image_password() {
    let (mut bench, web_folder) = Bench::copy_of("step_image_password").await;
    // A server that ignores `fields` sends the secrets; they must not be stored.
    let steps = std::fs::read_to_string(web_folder.join("pipeline_steps.jsonl")).unwrap();
    let values: Vec<Value> = steps
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(steps.contains("password"));
    let fault = Fault::on("/steps/")
        .set("values", json!(values))
        .set("size", values.len());
    bench.sandbox.inject(fault);
    let report = bench.complete().await;
    assert!(web(&report, "pipeline_steps").redactions > 0);
    let rows = bench.rows("pipeline_steps").await;
    assert!(!rows.is_empty());
    for (_, step) in rows {
        assert!(step.get("script_commands").is_none(), "{step}");
        assert!(
            step["image"]
                .as_object()
                .is_none_or(|image| image.keys().eq(["name"])),
            "{step}"
        );
    }
}

#[tokio::test]
async fn sort_with_states_500() {
    let mut bench = Bench::quirk("sort_with_states_500").await;
    bench.complete().await;
    assert!(!bench.keys("pull_requests").await.is_empty());
}

#[tokio::test]
async fn server_error_500_once() {
    let mut bench = Bench::quirk("server_error_500_once").await;
    bench.complete().await;
    assert!(!bench.keys("pull_requests").await.is_empty());
}

#[tokio::test]
async fn rate_limited_text_429() {
    let mut bench = Bench::quirk("rate_limited_text_429").await;
    bench.complete().await;
    assert!(!bench.keys("pull_requests").await.is_empty());
}

#[tokio::test]
async fn duplicate_row_between_pages() {
    let mut bench = Bench::quirk("duplicate_row_between_pages").await;
    bench.more = REVIEW_ONLY.to_owned();
    bench.now = at("2026-09-28T10:00:00Z");
    bench.complete().await;
    let rows = bench.rows("pull_requests").await;
    let of_one: Vec<_> = rows.iter().filter(|(key, _)| key == "51").collect();
    // Both versions are kept in the order of arrival; the later one is the newer.
    assert_eq!(of_one.len(), 2);
    assert_eq!(of_one[1].1["title"], "touched during the walk");
    assert_eq!(bench.asked(&["/pullrequests/51/commits"]), 1);
}

#[tokio::test]
async fn without_the_repositorys_feed_each_pull_request_is_asked_for_its_activity() {
    let mut bench = Bench::quirk("approval_activity").await;
    bench.complete().await;
    let mut by_feed = bench.keys("pull_request_activity").await;
    assert!(!by_feed.is_empty());
    let mut bench = Bench::quirk("approval_activity").await;
    bench
        .sandbox
        .inject(Fault::on("/pullrequests/activity").status(404));
    bench.complete().await;
    let mut by_each = bench.keys("pull_request_activity").await;
    by_feed.sort();
    by_each.sort();
    assert_eq!(by_each, by_feed);
}

#[tokio::test]
async fn activity_without_kind() {
    let mut bench = Bench::quirk("activity_without_kind").await;
    bench.complete().await;
    let keys = bench.keys("pull_request_activity").await;
    assert!(keys.iter().any(|key| key.contains(":sha256:")), "{keys:?}");
}

#[tokio::test]
async fn value_of_wrong_type() {
    let mut bench = Bench::quirk("value_of_wrong_type").await;
    let report = bench.complete().await;
    assert!(!web(&report, "pull_requests").misfits.is_empty());
    assert_eq!(
        web(&report, "pull_requests").records,
        bench.rows("pull_requests").await.len() as u64
    );
}
