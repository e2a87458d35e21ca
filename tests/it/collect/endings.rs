//! Lists that end without a last page: failed, unavailable, stale.

use super::*;

async fn failing(quirk: &str, table: &str) -> (Bench, String) {
    let mut bench = Bench::quirk(quirk).await;
    let report = bench.run().await.unwrap();
    assert!(report.is_incomplete());
    let entity = web(&report, table);
    assert_eq!(entity.status, Some(ListStatus::Failed));
    let reason = entity.reason.clone().unwrap();
    assert!(
        reason.contains("acme/web") && !reason.contains('\n'),
        "{reason}"
    );
    // An incomplete list is not stored.
    assert!(bench.rows(table).await.is_empty());
    assert_eq!(web(&report, "commits").status, Some(ListStatus::Complete));
    (bench, reason)
}

#[tokio::test]
async fn foreign_next_link() {
    let (_, reason) = failing("foreign_next_link", "branches").await;
    assert!(reason.contains("another host"), "{reason}");
}

#[tokio::test]
async fn repeated_next_link() {
    let (_, reason) = failing("repeated_next_link", "branches").await;
    assert!(reason.contains("repeats"), "{reason}");
}

#[tokio::test]
async fn html_instead_of_json() {
    let (_, reason) = failing("html_instead_of_json", "pull_requests").await;
    assert!(reason.contains("web page"), "{reason}");
}

#[tokio::test]
async fn truncated_json() {
    let (_, reason) = failing("truncated_json", "pull_requests").await;
    assert!(reason.contains("not the JSON expected"), "{reason}");
}

#[tokio::test]
async fn skip_failed_false_stops_the_run() {
    let mut bench = Bench::quirk("foreign_next_link").await;
    bench.more = "[sync]\nskip_failed = false".to_owned();
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.context("entity"), Some("branches"));
}

async fn absent(quirk: &str, table: &str) -> (Bench, String) {
    let mut bench = Bench::quirk(quirk).await;
    let report = bench.complete().await;
    let entity = web(&report, table);
    assert_eq!(entity.status, Some(ListStatus::Unavailable), "{entity:?}");
    let reason = entity.reason.clone().unwrap();
    (bench, reason)
}

#[tokio::test]
async fn issues_disabled_404() {
    let (bench, reason) = absent("issues_disabled_404", "issues").await;
    assert!(reason.contains("issue tracker disabled"), "{reason}");
    // The repository's record already shows it.
    assert_eq!(bench.asked(&["/issues"]), 0);
}

#[tokio::test]
async fn issues_gone_410() {
    let (bench, reason) = absent("issues_gone_410", "issues").await;
    assert!(reason.contains("issue tracker removed"), "{reason}");
    assert_eq!(bench.asked(&["/issues"]), 1);
    let (_, reason) = absent("issues_gone_410", "issue_changes").await;
    assert!(reason.contains("issue tracker removed"), "{reason}");
}

#[tokio::test]
async fn pipelines_disabled_404() {
    for table in ["pipelines", "pipeline_steps", "deployments"] {
        let (_, reason) = absent("pipelines_disabled_404", table).await;
        assert!(reason.contains("pipelines not enabled"), "{reason}");
    }
}

#[tokio::test]
async fn forbidden_scope_detail_object() {
    let mut bench = Bench::quirk("forbidden_scope_detail_object").await;
    let report = bench.complete().await;
    let entities = &report
        .repositories
        .iter()
        .find(|it| it.repository == "acme/web")
        .unwrap()
        .entities;
    let absent = entities
        .values()
        .filter(|it| it.status == Some(ListStatus::Unavailable));
    let reasons: Vec<_> = absent.filter_map(|it| it.reason.clone()).collect();
    assert!(
        reasons.iter().any(|it| it.contains("lacks scope read:")),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn a_list_that_had_records_becomes_stale_and_keeps_its_rows() {
    let (mut bench, _) = Bench::copy_of("deployment_stopped").await;
    bench.complete().await;
    let (first, before) = (bench.keys("pipelines").await, bench.state().await);
    bench.sandbox.inject(Fault::on("/pipelines/?").status(404));
    let report = bench.run().await.unwrap();
    assert!(report.is_incomplete());
    for table in ["pipelines", "pipeline_steps"] {
        assert_eq!(
            web(&report, table).status,
            Some(ListStatus::Stale),
            "{table}"
        );
    }
    let after = bench.state().await;
    assert_eq!(bench.keys("pipelines").await, first);
    let (before, after) = (&before.entities["pipelines"], &after.entities["pipelines"]);
    assert_eq!(after.complete_through, before.complete_through);
    assert_eq!(after.stale_since, Some(at("2026-11-23T10:00:00Z")));
    bench.sandbox.clear_faults();
    bench.complete().await;
    assert_eq!(bench.state().await.entities["pipelines"].stale_since, None);
}

#[tokio::test]
async fn a_later_page_that_is_refused_fails_the_walk() {
    let mut bench = Bench::quirk("duplicate_row_between_pages").await;
    // All records are of this month, so that the second page belongs to the same round.
    bench.now = at("2026-09-28T10:00:00Z");
    bench.sandbox.clear_faults();
    bench
        .sandbox
        .inject(Fault::on("/pullrequests?").and("page=2").status(404));
    let report = bench.run().await.unwrap();
    assert_eq!(
        web(&report, "pull_requests").status,
        Some(ListStatus::Failed)
    );
    assert!(bench.rows("pull_requests").await.is_empty());
    // A list that depends on an unavailable list is not requested, and not taken for empty.
    let comments = web(&report, "pull_request_comments");
    assert_eq!(
        (comments.status, comments.requests),
        (Some(ListStatus::Failed), 0)
    );
}

#[tokio::test]
async fn steps_that_the_rules_leave_out_are_no_failed_list() {
    let mut bench = Bench::quirk("step_names_not_unique").await;
    bench.more.push_str("\n[rules.default]\nsteps = \"none\"");
    bench.complete().await;
    let state = bench.state().await;
    assert_eq!(
        state.list("pipeline_steps").status,
        ListStatus::NotCollected
    );
    let mut lists = state.entities.values();
    assert!(lists.all(|list| list.status != ListStatus::Failed));
    assert!(!state.entities.contains_key("pipeline_steps"));
}
