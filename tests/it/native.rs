//! Native steps: they can be replaced like other steps, and they report what they did not find.

use super::outside::Outside;

const DEPLOYMENTS: &str = "id,commit_sha,cicd_deployment_id,cicd_scope_id,repo_id,repo_url,result,environment,finished_date
    d1,c1,D1,s1,a:b:1:acme/web,https://x/web,SUCCESS,PRODUCTION,2026-05-01 10:10:00
    d2,c2,D2,s1,a:b:1:acme/web,https://x/web,SUCCESS,PRODUCTION,2026-05-02 10:10:00
    d3,x1,D3,s1,a:b:1:acme/web,https://x/web,SUCCESS,PRODUCTION,2026-05-03 10:10:00
    d4,x2,D4,s1,a:b:1:acme/web,https://x/web,FAILURE,PRODUCTION,2026-05-04 10:10:00
    d5,c1,D5,jenkins,,https://x/web,SUCCESS,PRODUCTION,2026-05-05 10:10:00
    d6,x3,D6,e:f:1:acme/ci,,https://x/web,SUCCESS,PRODUCTION,2026-05-06 10:10:00";
const PARENTS: &str = "commit_sha,parent_commit_sha,parent_index
    c2,c1,0";
const REPO_COMMITS: &str = "repo_id,commit_sha
    a:b:1:acme/web,c1
    a:b:1:acme/web,c2";
const REFS: &str = "id,repo_id,name,commit_sha,ref_type
    t1,a:b:1:acme/web,refs/tags/v1.0.0,c1,TAG
    t2,a:b:1:acme/web,refs/tags/v2.0.0,x9,TAG
    b1,a:b:1:acme/web,main,x8,BRANCH";

fn given() -> Outside {
    Outside::new()
        .csv("domain.cicd_deployment_commits", DEPLOYMENTS)
        .csv("domain.commit_parents", PARENTS)
        .csv("domain.repo_commits", REPO_COMMITS)
        .csv("domain.refs", REFS)
}

#[tokio::test]
async fn commits_that_were_not_collected_are_counted_by_repository() {
    let report = given().transform(&["domain"]).await.unwrap();
    let unknown = report
        .warnings
        .iter()
        .filter(|one| one.kind.contains("not among the collected commits"));
    let unknown: Vec<_> = unknown
        .map(|one| (one.repository.as_str(), one.kind.as_str(), one.n))
        .collect();
    assert_eq!(
        unknown,
        [
            (
                "acme/ci",
                "deployed commit is not among the collected commits",
                1
            ),
            (
                "acme/web",
                "commit of a tag is not among the collected commits",
                1
            ),
            (
                "acme/web",
                "deployed commit is not among the collected commits",
                2
            ),
        ]
    );
}

#[tokio::test]
async fn a_query_of_the_user_replaces_a_native_step() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("domain")).unwrap();
    std::fs::write(
        folder.path().join("domain/ref_commits.sql"),
        "SELECT id AS new_ref_id, id AS old_ref_id, commit_sha AS new_commit_sha, commit_sha AS old_commit_sha, \
         repo_id, 7 AS pair_index, '' AS pair_source FROM domain.refs WHERE id = 't1'",
    )
    .unwrap();
    let given = given();
    let queries = Some(folder.path());
    given.transform_with(&["domain"], queries).await.unwrap();
    let query = "SELECT new_ref_id, new_commit_sha, pair_index FROM domain.ref_commits";
    assert_eq!(given.query(query).await, ["t1 | c1 | 7"]);
}

#[tokio::test]
async fn a_given_table_stands_in_the_place_of_a_native_step_and_later_ones_read_it() {
    let given = given().csv(
        "domain.ref_commits",
        "new_ref_id,old_ref_id,new_commit_sha,old_commit_sha,repo_id
         n,o,c2,c1,somewhere",
    );
    given.transform(&["domain"]).await.unwrap();
    assert_eq!(
        given
            .query("SELECT new_commit_sha, old_commit_sha, commit_sha, pair_source FROM domain.commits_diffs WHERE new_commit_sha = 'c2'")
            .await,
        ["c2 | c1 | c2 | deployments, tags"]
    );
}

#[tokio::test]
async fn a_layer_that_is_made_alone_gets_the_graphs_that_it_reads() {
    let given = given();
    given.transform(&["domain"]).await.unwrap();
    given.transform(&["dora"]).await.unwrap();
    let query = "SELECT commit_sha, deployment_commit_id FROM dora.commit_deployments \
                 WHERE cicd_scope_id = 's1' ORDER BY commit_sha";
    assert_eq!(given.query(query).await, ["c1 | d1", "c2 | d2", "x1 | d3"]);
}
