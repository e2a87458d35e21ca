//! Lists of pull requests: which records they contain and which members these have.

use super::*;

fn pulls() -> Fixture {
    let states = ["OPEN", "MERGED", "DECLINED", "SUPERSEDED", "OPEN"];
    let records = states.iter().zip(1..).map(|(state, id)| {
        json!({
            "type": "pullrequest", "id": id, "state": state, "title": format!("change {id}"),
            "created_on": format!("2026-01-0{id}T00:00:00+00:00"),
            "updated_on": format!("2026-02-0{}T00:00:00.5+00:00", 9 - id),
            "closed_on": "2026-02-01T00:00:00+00:00",
            "merge_commit": {"hash": "abcdefabcdef", "date": "2026-02-01T00:00:00+00:00"},
            "participants": [{"role": "REVIEWER", "approved": true}], "reviewers": [{"uuid": "{r}"}],
        })
    });
    let comment = |id: i64, day: i64| json!({"id": id, "pullrequest": {"id": 1}, "created_on": format!("2026-01-0{day}T00:00:00+00:00")});
    Fixture::new()
        .records("pull_requests", records)
        .records("pull_request_comments", [comment(8, 2), comment(7, 1)])
}

#[tokio::test]
async fn only_open_ones_are_listed_unless_states_are_asked_for() {
    let sandbox = pulls().start_owned().await;
    assert_eq!(web(&sandbox, "/pullrequests").await.ids(), [1, 5]);
    assert_eq!(
        web(
            &sandbox,
            "/pullrequests?state=MERGED&state=SUPERSEDED&sort=id"
        )
        .await
        .ids(),
        [2, 4]
    );
    assert_eq!(
        web(&sandbox, "/pullrequests?q=state%3D%22DECLINED%22")
            .await
            .ids(),
        [3]
    );
    assert_eq!(
        web(&sandbox, "/pullrequests?state=all").await.ids(),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(
        web(&sandbox, "/pullrequests?state=CLOSED").await.status,
        400
    );
}

#[tokio::test]
async fn q_and_sort_are_honoured_except_for_the_closing_time() {
    let sandbox = pulls().start_owned().await;
    let recent = web(&sandbox, "/pullrequests?state=all&sort=updated_on&q=updated_on%3E%3D%222026-02-06T00:00:00%2B00:00%22").await;
    assert_eq!(recent.ids(), [3, 2, 1]);
    let refused = web(&sandbox, "/pullrequests?q=closed_on%3E2026-01-01").await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json()["error"]["detail"],
        "Field does not support filtering"
    );
    assert_eq!(
        web(&sandbox, "/pullrequests?sort=-closed_on").await.status,
        400
    );
}

#[tokio::test]
async fn lists_hide_what_the_detail_shows() {
    let sandbox = pulls().start_owned().await;
    let listed = web(&sandbox, "/pullrequests").await.json()["values"][0].clone();
    for hidden in ["participants", "reviewers", "closed_on"] {
        assert_eq!(listed.get(hidden), None, "{hidden}");
    }
    assert_eq!(listed["merge_commit"], json!({"hash": "abcdefabcdef"}));
    let fields =
        "%2Bvalues.participants,%2Bvalues.closed_on,%2Bvalues.merge_commit.date,-values.title";
    let asked = web(&sandbox, &format!("/pullrequests?fields={fields}"))
        .await
        .json()["values"][0]
        .clone();
    assert_eq!(asked["participants"][0]["approved"], true);
    assert_eq!(asked["closed_on"], "2026-02-01T00:00:00+00:00");
    assert_eq!(asked["merge_commit"]["date"], "2026-02-01T00:00:00+00:00");
    assert_eq!(asked.get("reviewers"), None);
    assert_eq!(asked.get("title"), None);
    assert_eq!(
        web(&sandbox, "/pullrequests/1").await.json()["reviewers"][0]["uuid"],
        "{r}"
    );
    assert_eq!(web(&sandbox, "/pullrequests/99").await.status, 404);
}

#[tokio::test]
async fn comments_are_oldest_first_and_filtered() {
    let sandbox = pulls().start_owned().await;
    assert_eq!(
        web(&sandbox, "/pullrequests/1/comments").await.ids(),
        [7, 8]
    );
    assert_eq!(
        web(
            &sandbox,
            "/pullrequests/1/comments?q=created_on%3E2026-01-01T00:00:00Z"
        )
        .await
        .ids(),
        [8]
    );
    assert!(
        web(&sandbox, "/pullrequests/2/comments")
            .await
            .ids()
            .is_empty()
    );
    assert_eq!(web(&sandbox, "/pullrequests/99/comments").await.status, 404);
}
