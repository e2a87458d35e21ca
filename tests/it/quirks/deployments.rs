//! Deployments, environments and issues.

use super::*;

#[tokio::test]
async fn deployment_completed_but_failed() {
    let lake = quirk("deployment_completed_but_failed").await;
    for table in ["cicd_deployments", "cicd_deployment_commits"] {
        lake.gives(
            &format!("SELECT result, status, original_status, original_result FROM domain.{table}"),
            &["FAILURE | DONE | COMPLETED | FAILED"],
        )
        .await;
    }
}

#[tokio::test]
async fn deployment_stopped() {
    let lake = quirk("deployment_stopped").await;
    lake.gives(
        "SELECT result, status, original_result, started_date, finished_date, duration_sec \
         FROM domain.cicd_deployments",
        &["FAILURE | DONE | STOPPED | 2026-09-10T09:05:20.100Z | 2026-09-10T09:05:20.100Z | 0.0"],
    )
    .await;
}

#[tokio::test]
async fn deployment_undeployed() {
    let lake = quirk("deployment_undeployed").await;
    lake.gives(
        "SELECT result, status, original_status, url, started_date, finished_date, duration_sec \
         FROM domain.cicd_deployments",
        &["| OTHER | UNDEPLOYED | https://bitbucket.org/acme/web/pipelines/results/1 | NULL | NULL | NULL"],
    )
    .await;
    // An undeployed release does not make its pipeline a deployment.
    lake.gives("SELECT type FROM domain.cicd_pipelines", &[""])
        .await;
}

#[tokio::test]
async fn deployment_environment_stub() {
    let lake = quirk("deployment_environment_stub").await;
    lake.gives(
        "SELECT environment, original_environment, environment_type FROM domain.cicd_deployments",
        &["STAGING | eu staging | Staging"],
    )
    .await;
    // Embedded by `fields`, not requested one by one.
    lake.gives(
        "SELECT environment['name'] FROM bitbucket.deployments",
        &["eu staging"],
    )
    .await;
    assert_eq!(lake.asked(&["/environments/"]), 1);
}

#[tokio::test]
async fn deployment_environment_deleted() {
    let lake = quirk("deployment_environment_deleted").await;
    lake.gives(
        "SELECT result, environment, original_environment, commit_sha FROM domain.cicd_deployment_commits",
        &[format!("SUCCESS |  |  | {}", sha(3))],
    )
    .await;
    lake.gives("SELECT type FROM domain.cicd_tasks", &["DEPLOYMENT"])
        .await;
}

#[tokio::test]
async fn deployment_pipeline_unknown() {
    let lake = quirk("deployment_pipeline_unknown").await;
    lake.gives(
        "SELECT result, environment, right(pipeline_id, 4), commit_sha, ref_name \
         FROM domain.cicd_deployment_commits",
        &[format!("SUCCESS | PRODUCTION | 04d}} | {} |", sha(3))],
    )
    .await;
    lake.gives("SELECT count(*) FROM domain.cicd_deployments", &["1"])
        .await;
}

#[tokio::test]
async fn environment_named_prod_eu() {
    let lake = quirk("environment_named_prod_eu").await;
    lake.gives(
        "SELECT original_environment, environment FROM domain.cicd_deployments ORDER BY 1",
        &["prod-eu | PRODUCTION", "prod-rehearsal | TESTING"],
    )
    .await;
}

#[tokio::test]
async fn issue_component_object() {
    let lake = quirk("issue_component_object").await;
    lake.gives(
        "SELECT issue_key, component, milestone, version FROM domain.issues ORDER BY 1",
        &["1 | checkout | M1 |", "2 |  |  |"],
    )
    .await;
    assert!(lake.of("issues").misfits.is_empty());
}

#[tokio::test]
async fn issue_comment_null_body() {
    let lake = quirk("issue_comment_null_body").await;
    lake.gives(
        "SELECT body, account_id, created_date, updated_date FROM domain.issue_comments",
        &[format!("| {BOB} | 2026-09-05T09:00:00.123456Z | NULL")],
    )
    .await;
    lake.gives(
        "SELECT status, resolution_date, resolution_source, lead_time_minutes FROM domain.issues",
        &["DONE | 2026-09-05T09:00:00.123456Z | changes | 2880"],
    )
    .await;
}
