//! Repositories, branches and tags.

use super::*;

#[tokio::test]
async fn empty_repository_null_mainbranch() {
    let lake = quirk("empty_repository_null_mainbranch").await;
    lake.gives(
        "SELECT name, main_branch, size_bytes FROM domain.repos",
        &["acme/web |  | 0"],
    )
    .await;
    for table in ["refs", "commits", "pull_requests", "cicd_pipelines"] {
        lake.gives(&format!("SELECT count(*) FROM domain.{table}"), &["0"])
            .await;
    }
    for table in ["branches", "commits"] {
        assert_eq!(lake.status(table), ListStatus::Complete);
    }
}

#[tokio::test]
async fn repository_without_project() {
    let lake = quirk("repository_without_project").await;
    lake.gives(
        "SELECT name, project_key, project_name FROM domain.repos",
        &["acme/web |  |"],
    )
    .await;
}

#[tokio::test]
async fn lightweight_and_annotated_tags() {
    let lake = quirk("lightweight_and_annotated_tags").await;
    lake.gives(
        "SELECT name, commit_sha, created_date FROM domain.refs WHERE ref_type = 'TAG' ORDER BY name",
        &[
            format!("refs/tags/nightly | {} | 2026-09-02T08:00:00Z", sha(2)),
            format!("refs/tags/v1.0.0 | {} | 2026-09-01T08:00:00Z", sha(1)),
            format!("refs/tags/v1.1.0 | {} | 2026-09-09T09:00:00Z", sha(3)),
        ],
    )
    .await;
}

#[tokio::test]
async fn branch_name_with_slash() {
    let lake = quirk("branch_name_with_slash").await;
    lake.gives(
        "SELECT r.name, r.is_default, p.head_ref = r.name FROM domain.refs AS r \
         CROSS JOIN domain.pull_requests AS p ORDER BY r.name",
        &["feature/cart#2 50% | false | true", "main | true | false"],
    )
    .await;
}
