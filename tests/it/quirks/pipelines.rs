//! Pipelines and their steps.

use super::*;

#[tokio::test]
async fn unknown_state_passes_through() {
    let lake = quirk("unknown_state_passes_through").await;
    lake.gives(
        "SELECT status, original_status, result FROM domain.cicd_pipelines",
        &["OTHER | DREAMING |"],
    )
    .await;
    lake.gives(
        "SELECT status, result, original_result FROM domain.cicd_tasks",
        &["DONE |  | SKIPPED"],
    )
    .await;
    lake.gives(
        "SELECT status, original_status, type, original_type, resolution_date FROM domain.issues",
        &["| triaged | riddle | riddle | NULL"],
    )
    .await;
}

#[tokio::test]
async fn pipeline_stage_halted() {
    let lake = quirk("pipeline_stage_halted").await;
    lake.gives(
        "SELECT status, original_status, result, original_result, finished_date, duration_sec \
         FROM domain.cicd_pipelines",
        &["IN_PROGRESS | IN_PROGRESS |  | HALTED | NULL | 0.0"],
    )
    .await;
}

#[tokio::test]
async fn pipeline_paused_forever() {
    let mut bench = Bench::quirk("pipeline_paused_forever").await;
    bench.more = "[sync]\nsince = \"2025-10-01\"".to_owned();
    let lake = export(bench).await;
    lake.gives(
        "SELECT status, original_result, finished_date, duration_sec FROM domain.cicd_pipelines",
        &["IN_PROGRESS | PAUSED | NULL | 0.0"],
    )
    .await;
    lake.gives(
        "SELECT status, original_status, created_date, started_date, finished_date, duration_sec \
         FROM domain.cicd_tasks",
        &["IN_PROGRESS | PENDING | 2025-11-01T09:00:00Z | NULL | NULL | 0.0"],
    )
    .await;
}

#[tokio::test]
async fn pipeline_stopped_by_somebody() {
    let lake = quirk("pipeline_stopped_by_somebody").await;
    lake.gives(
        "SELECT p.result, p.terminator_name, a.full_name \
         FROM domain.cicd_pipelines AS p JOIN domain.accounts AS a ON a.id = p.terminator_id",
        &["FAILURE | Cat | Cat"],
    )
    .await;
}

#[tokio::test]
async fn pipeline_error_result() {
    let lake = quirk("pipeline_error_result").await;
    lake.gives(
        "SELECT status, result, original_result, duration_sec, error_key FROM domain.cicd_pipelines",
        &["DONE | FAILURE | ERROR | 0.0 | plan-service.parse.not-found"],
    )
    .await;
    lake.gives("SELECT * FROM domain.cicd_tasks", &[""; 0])
        .await;
}

#[tokio::test]
async fn pipeline_pull_request_target() {
    let lake = quirk("pipeline_pull_request_target").await;
    lake.gives(
        "SELECT commit_sha, branch, target_branch FROM domain.cicd_pipeline_commits",
        &[format!("{} | feature/31 | main", sha(2))],
    )
    .await;
    lake.gives(
        "SELECT r.id = p.pull_request_id FROM domain.cicd_pipelines AS p CROSS JOIN domain.pull_requests AS r",
        &["true"],
    )
    .await;
}

#[tokio::test]
async fn pipeline_commit_target_without_ref() {
    let lake = quirk("pipeline_commit_target_without_ref").await;
    lake.gives(
        "SELECT c.commit_sha, c.branch, p.target_type FROM domain.cicd_pipeline_commits AS c \
         JOIN domain.cicd_pipelines AS p ON p.id = c.pipeline_id",
        &[format!("{} |  | pipeline_commit_target", sha(3))],
    )
    .await;
}

#[tokio::test]
async fn pipeline_without_commit() {
    let lake = quirk("pipeline_without_commit").await;
    lake.gives(
        "SELECT c.commit_sha, c.branch, p.result FROM domain.cicd_pipeline_commits AS c \
         JOIN domain.cicd_pipelines AS p ON p.id = c.pipeline_id",
        &["| main | SUCCESS"],
    )
    .await;
}

#[tokio::test]
async fn pipeline_creator_absent() {
    let lake = quirk("pipeline_creator_absent").await;
    lake.gives(
        "SELECT build_number, trigger_name, creator_name, creator_id FROM domain.cicd_pipelines ORDER BY 1",
        &["1 | SCHEDULE |  |", "2 | SCHEDULE |  |"],
    )
    .await;
}

#[tokio::test]
async fn pipeline_internal_self_link() {
    let lake = quirk("pipeline_internal_self_link").await;
    lake.gives(
        "SELECT url FROM domain.cicd_pipelines",
        &["https://bitbucket.org/acme/web/pipelines/results/1"],
    )
    .await;
}

#[tokio::test]
async fn step_never_started() {
    let lake = quirk("step_never_started").await;
    lake.gives(
        "SELECT right(id, 2), status, result, original_result, started_date, duration_sec \
         FROM domain.cicd_tasks ORDER BY 1",
        &[
            "1} | DONE | SUCCESS | SUCCESSFUL | 2026-09-10T09:05:00.100Z | 20.0",
            "2} | DONE |  | NOT_RUN | 2026-09-10T09:06:00Z | 0.0",
            "3} | DONE | FAILURE | STOPPED | 2026-09-10T09:06:00Z | 0.0",
            "4} | IN_PROGRESS |  |  | NULL | 0.0",
        ],
    )
    .await;
}

#[tokio::test]
async fn step_image_password() {
    let lake = quirk("step_image_password").await;
    lake.gives(
        "SELECT image_name FROM domain.cicd_tasks",
        &["registry.acme.example/builder"],
    )
    .await;
    lake.gives(
        "SELECT contains(_payload, 'planted'), contains(_payload, 'puller'), contains(_payload, 'make deploy') \
         FROM bitbucket.pipeline_steps",
        &["false | false | false"],
    )
    .await;
}

#[tokio::test]
async fn step_redeployed() {
    let lake = quirk("step_redeployed").await;
    lake.gives(
        "SELECT name, run_number, trigger_name, started_date, environment FROM domain.cicd_tasks ORDER BY name",
        &[
            "Deploy | 1 | pipeline_step_trigger_automatic | 2026-09-10T09:05:00.100Z | PRODUCTION",
            "Deploy to test | 2 | pipeline_step_trigger_redeploy | 2026-09-12T09:05:00.100Z | TESTING",
        ],
    )
    .await;
    lake.gives(
        "SELECT environment, result, finished_date FROM domain.cicd_deployments ORDER BY finished_date",
        &[
            "PRODUCTION | SUCCESS | 2026-09-10T09:05:20.100Z",
            "TESTING | SUCCESS | 2026-09-12T09:05:20.100Z",
        ],
    )
    .await;
    // Two days passed; Bitbucket's own duration is the sum of the steps.
    lake.gives(
        "SELECT duration_sec, build_duration_sec FROM domain.cicd_pipelines",
        &["173120.0 | 20.0"],
    )
    .await;
}

#[tokio::test]
async fn step_names_not_unique() {
    let lake = quirk("step_names_not_unique").await;
    lake.gives(
        "SELECT right(id, 2), name FROM domain.cicd_tasks ORDER BY 1",
        &["1} | Deploy", "2} | Deploy", "3} |"],
    )
    .await;
}
