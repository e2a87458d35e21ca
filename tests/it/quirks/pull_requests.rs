//! Pull requests, their comments and their activity.

use super::*;

#[tokio::test]
async fn deleted_fork_null_source() {
    let lake = quirk("deleted_fork_null_source").await;
    lake.gives(
        "SELECT status, original_status, head_repo_id, head_ref, closed_date FROM domain.pull_requests",
        &["CLOSED | DECLINED |  | feature/31 | 2026-09-05T09:00:00.123456Z"],
    )
    .await;
}

#[tokio::test]
async fn null_source_commit() {
    let lake = quirk("null_source_commit").await;
    lake.gives(
        "SELECT pull_request_key, status, head_commit_sha, base_commit_sha, merge_commit_sha, merged_date \
         FROM domain.pull_requests ORDER BY 1",
        &[
            "31 | CLOSED |  |  |  | NULL".to_owned(),
            format!(
                "32 | MERGED | {} | {} |  | 2026-09-05T09:00:00.123456Z",
                sha(2),
                sha(1)
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn short_hashes_in_pull_requests() {
    let lake = quirk("short_hashes_in_pull_requests").await;
    lake.gives(
        "SELECT merge_commit_sha, base_commit_sha, head_commit_sha FROM domain.pull_requests",
        &[format!("{} | {} | {}", sha(3), sha(1), sha(2))],
    )
    .await;
    lake.gives(
        "SELECT length(original_merge_commit_sha), merge_commit_sha_match, base_commit_sha_match, \
         head_commit_sha_match, merge_kind FROM domain.pull_requests",
        &["12 | prefix | prefix | prefix | merge_commit"],
    )
    .await;
    lake.gives(
        "SELECT commit_sha FROM domain.pull_request_commits",
        &[sha(2)],
    )
    .await;
}

#[tokio::test]
async fn shared_merge_commit() {
    let lake = quirk("shared_merge_commit").await;
    lake.gives(
        "SELECT pull_request_key, status, merge_commit_sha, merged_date_source \
         FROM domain.pull_requests ORDER BY 1",
        &[
            format!("31 | MERGED | {} | closed_on", sha(3)),
            format!("32 | MERGED | {} | closed_on", sha(3)),
        ],
    )
    .await;
}

#[tokio::test]
async fn source_pushed_with_more_behind_it() {
    let lake = quirk("source_pushed_with_more_behind_it").await;
    lake.gives(
        "SELECT commit_sha FROM domain.pull_request_commits ORDER BY commit_authored_date",
        &[sha(2), sha(3)],
    )
    .await;
    lake.gives(
        "SELECT merge_kind, own_commits FROM domain.pull_requests",
        &["fast_forward | 2"],
    )
    .await;
    assert_eq!(lake.asked(&["/pullrequests/31/commits"]), 1);
}

#[tokio::test]
async fn superseded_pull_request() {
    let lake = quirk("superseded_pull_request").await;
    lake.gives(
        "SELECT status, original_status, merged_date, merged_by_id, closed_date FROM domain.pull_requests",
        &["CLOSED | SUPERSEDED | NULL |  | 2026-09-05T09:00:00.123456Z"],
    )
    .await;
    assert_eq!(
        lake.asked(&["/pullrequests?", "state=SUPERSEDED", "state=DECLINED"]),
        1
    );
}

#[tokio::test]
async fn missing_destination_repository() {
    let lake = quirk("missing_destination_repository").await;
    lake.gives(
        "SELECT status, base_repo_id, base_ref, merge_commit_sha FROM domain.pull_requests",
        &[format!(
            "MERGED | bitbucket:BitbucketRepo:1:acme/web | main | {}",
            sha(3)
        )],
    )
    .await;
}

#[tokio::test]
async fn comment_deleted() {
    let lake = quirk("comment_deleted").await;
    lake.gives(
        "SELECT body, type FROM domain.pull_request_comments",
        &["remark 1 | NORMAL"],
    )
    .await;
    lake.gives(
        "SELECT id, deleted FROM bitbucket.pull_request_comments ORDER BY id",
        &["1 | false", "2 | true"],
    )
    .await;
}

#[tokio::test]
async fn comment_pending_draft() {
    let lake = quirk("comment_pending_draft").await;
    lake.gives(
        "SELECT body FROM domain.pull_request_comments",
        &["remark 1"],
    )
    .await;
    lake.gives(
        "SELECT id, contains(_payload, 'private') FROM bitbucket.pull_request_comments",
        &["1 | false"],
    )
    .await;
    lake.gives(
        "SELECT count(*) FROM bitbucket.pull_request_activity WHERE contains(_payload, 'private')",
        &["0"],
    )
    .await;
    assert_eq!(lake.of("pull_request_comments").drafts, 1);
    assert_eq!(lake.of("pull_request_activity").drafts, 1);
}

#[tokio::test]
async fn inline_comment_whole_file() {
    let lake = quirk("inline_comment_whole_file").await;
    lake.gives(
        "SELECT body, type, path, line FROM domain.pull_request_comments ORDER BY body",
        &[
            "remark 1 | DIFF | src/cart.js | NULL",
            "remark 2 | DIFF | src/cart.js | 7",
        ],
    )
    .await;
}

#[tokio::test]
async fn approval_activity() {
    let lake = quirk("approval_activity").await;
    lake.gives(
        "SELECT created_date, type, status, account_id FROM domain.pull_request_comments ORDER BY 1",
        &[
            format!("2026-09-04T08:00:00.500Z | REVIEW | CHANGES_REQUESTED | {BOB}"),
            format!("2026-09-04T09:00:00.123456Z | NORMAL |  | {BOB}"),
            format!("2026-09-04T12:00:00.500Z | REVIEW | APPROVED | {BOB}"),
        ],
    )
    .await;
    lake.gives(
        "SELECT \"update\"['date'], \"update\"['state'], \"update\"['author']['nickname'] \
         FROM bitbucket.pull_request_activity WHERE \"update\"['date'] IS NOT NULL ORDER BY 1",
        &[
            "2026-09-03T09:00:00.123456Z | OPEN | ann",
            "2026-09-05T09:00:00.123456Z | MERGED | bob",
        ],
    )
    .await;
}

#[tokio::test]
async fn activity_without_kind() {
    let lake = quirk("activity_without_kind").await;
    lake.gives(
        "SELECT type, status FROM domain.pull_request_comments",
        &["REVIEW | APPROVED"],
    )
    .await;
    // Every member is kept, including empty ones.
    lake.gives(
        "SELECT _pull_request_id, approval['date'] IS NULL FROM bitbucket.pull_request_activity ORDER BY 2",
        &["31 | false", "31 | true"],
    )
    .await;
}

#[tokio::test]
async fn value_of_wrong_type() {
    let lake = quirk("value_of_wrong_type").await;
    lake.gives(
        "SELECT pull_request_key, title, is_draft, comment_count, author_id, created_date \
         FROM domain.pull_requests ORDER BY 1",
        &[
            "31 |  | false | 0 | bitbucket:BitbucketAccount:1: | NULL".to_owned(),
            format!("32 | Change 32 | false | 0 | {ANN} | 2026-09-03T09:00:00.123456Z"),
        ],
    )
    .await;
    lake.gives(
        "SELECT contains(_payload, '\"three\"') FROM bitbucket.pull_requests WHERE id = 31",
        &["true"],
    )
    .await;
    let misfits = &lake.of("pull_requests").misfits;
    for column in ["author", "comment_count", "created_on", "draft", "title"] {
        assert_eq!(misfits.get(column), Some(&1), "{misfits:?}");
    }
}

#[tokio::test]
async fn time_beyond_every_engine() {
    let lake = quirk("time_beyond_every_engine").await;
    lake.gives(
        "SELECT pull_request_key, created_date FROM domain.pull_requests ORDER BY 1",
        &["31 | NULL", "32 | 2026-09-03T09:00:00.123456Z"],
    )
    .await;
    lake.gives(
        "SELECT date, contains(_payload, '2300-01-01') FROM bitbucket.commits WHERE date IS NULL",
        &["NULL | true"],
    )
    .await;
    let commits = lake.of("commits");
    assert_eq!(commits.misfits["date"], 1);
    let values = commits.odd_times["date"].values.iter();
    assert_eq!(values.collect::<Vec<_>>(), ["2300-01-01T00:00:00+00:00"]);
    let odd = &lake.of("pull_requests").odd_times;
    assert_eq!((odd["created_on"].rows, odd["updated_on"].rows), (1, 1));
}

#[tokio::test]
async fn emoji_and_nul_in_text() {
    let lake = quirk("emoji_and_nul_in_text").await;
    lake.gives(
        "SELECT title = 'ship it \u{1f680} now', description = 'a\r\nb\u{2028}c\t\"quoted\" \u{202e}right to left' \
         FROM domain.pull_requests",
        &["true | true"],
    )
    .await;
}
