//! Times and accounts that differ from their documentation.

use super::*;

#[tokio::test]
async fn nanosecond_times() {
    let lake = quirk("nanosecond_times").await;
    lake.gives(
        "SELECT created_date, finished_date, duration_sec FROM domain.cicd_pipelines",
        &["2026-09-10T09:00:00.183580Z | 2026-09-10T09:00:20.200Z | 20.0"],
    )
    .await;
    lake.gives(
        "SELECT started_date, finished_date FROM domain.cicd_tasks",
        &["2026-09-10T09:00:01Z | 2026-09-10T09:00:20.143970Z"],
    )
    .await;
    assert!(lake.of("pipelines").misfits.is_empty());
}

#[tokio::test]
async fn fractionless_times() {
    let lake = quirk("fractionless_times").await;
    lake.gives(
        "SELECT created_date, updated_date FROM domain.pull_requests",
        &["2026-09-03T09:00:00Z | 2026-09-04T09:00:00Z"],
    )
    .await;
    lake.gives(
        &format!(
            "SELECT authored_date FROM domain.commits WHERE sha = '{}'",
            sha(3)
        ),
        &["2026-09-03T08:00:00Z"],
    )
    .await;
}

#[tokio::test]
async fn completed_before_created() {
    let lake = quirk("completed_before_created").await;
    lake.gives(
        "SELECT result, created_date, finished_date, duration_sec FROM domain.cicd_pipelines",
        &["FAILURE | 2026-09-10T09:00:00.126Z | 2026-09-10T09:00:00.110Z | 0.0"],
    )
    .await;
}

#[tokio::test]
async fn deleted_user_null() {
    let lake = quirk("deleted_user_null").await;
    lake.gives(
        "SELECT pull_request_key, author_name, author_id, merged_by_name, merged_by_id \
         FROM domain.pull_requests ORDER BY 1",
        &[
            "31 |  | bitbucket:BitbucketAccount:1: |  |",
            "32 |  | bitbucket:BitbucketAccount:1: |  |",
        ],
    )
    .await;
    // Only the list of reviewers still names an account for the first one.
    lake.gives(
        "SELECT right(pull_request_id, 2), reviewer_id FROM domain.pull_request_reviewers ORDER BY 1",
        &[format!("31 | {BOB}"), format!("32 | {BOB}")],
    )
    .await;
    lake.gives(
        "SELECT body, account_id FROM domain.pull_request_comments",
        &["remark 1 | bitbucket:BitbucketAccount:1:"],
    )
    .await;
    lake.gives(
        "SELECT issue_key, creator_id, creator_name, assignee_id, assignee_name FROM domain.issues",
        &["1 |  |  |  |"],
    )
    .await;
    lake.gives("SELECT * FROM domain.issue_assignees", &[""; 0])
        .await;
}

#[tokio::test]
async fn missing_account_id() {
    let lake = quirk("missing_account_id").await;
    let cat = "bitbucket:BitbucketAccount:1:{000001bf-0000-4000-8000-000000000003}";
    lake.gives("SELECT author_id FROM domain.pull_requests", &[cat])
        .await;
    lake.gives(
        "SELECT id, full_name, user_name FROM domain.accounts WHERE full_name = 'Cat'",
        &[format!("{cat} | Cat |")],
    )
    .await;
}

#[tokio::test]
async fn bot_app_user() {
    let lake = quirk("bot_app_user").await;
    lake.gives(
        "SELECT full_name, user_name, account_type, is_bot, p.pull_request_key, c.creator_name \
         FROM domain.accounts AS a \
         JOIN domain.pull_requests AS p ON p.author_id = a.id \
         JOIN domain.cicd_pipelines AS c ON c.creator_id = a.id",
        &["deploy bot |  | app_user | true | 31 | deploy bot"],
    )
    .await;
}

#[tokio::test]
async fn author_raw_without_angle_brackets() {
    let lake = quirk("author_raw_without_angle_brackets").await;
    lake.gives(
        &format!(
            "SELECT author_name, author_email, author_id, author_account_id FROM domain.commits \
             WHERE sha IN ('{}', '{}') ORDER BY author_name DESC",
            sha(4),
            sha(5)
        ),
        &[
            "build machine |  |  |",
            "| only@acme.example | only@acme.example |",
        ],
    )
    .await;
}
