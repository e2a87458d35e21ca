//! Each of DevLake's steps on given inputs alone, without a connection, a repository or a record of Bitbucket.

use super::outside::Outside;

const MAPPING: &str = "project_name,table,row_id
    shop,cicd_scopes,s1
    shop,repos,r1
    shop,boards,b1";

/// The layers up to the one under test.
const DOMAIN: [&str; 1] = ["domain"];
const DORA: [&str; 2] = ["domain", "dora"];

#[tokio::test]
async fn deployments_are_generated_from_pipelines_and_tasks() {
    let given = Outside::new()
        .csv("domain.project_mapping", MAPPING)
        .csv(
            "domain.cicd_pipelines",
            "id,name,result,status,type,environment,duration_sec,created_date,started_date,finished_date,cicd_scope_id
             p1,one,SUCCESS,DONE,DEPLOYMENT,PRODUCTION,60.9,2026-05-01 10:00:00,,2026-05-01 10:02:00,s1
             p2,two,FAILURE,DONE,,,60,2026-05-01 11:00:00,2026-05-01 11:00:10,2026-05-01 11:02:00,s1
             p3,no result,,DONE,DEPLOYMENT,PRODUCTION,60,2026-05-01 12:00:00,,,s1
             p4,no deployment,SUCCESS,DONE,,PRODUCTION,60,2026-05-01 12:00:00,,,s1
             p5,other scope,SUCCESS,DONE,DEPLOYMENT,PRODUCTION,60,2026-05-01 12:00:00,,,s2
             p6,no commit,SUCCESS,DONE,DEPLOYMENT,,60,2026-05-01 12:00:00,,,s1",
        )
        .csv(
            "domain.cicd_tasks",
            "id,pipeline_id,result,type,environment
             t1,p2,SUCCESS,DEPLOYMENT,STAGING
             t2,p2,SUCCESS,,PRODUCTION
             t3,p4,,DEPLOYMENT,PRODUCTION
             t4,p6,FAILURE,,TESTING
             t5,p6,,,PRODUCTION",
        )
        .csv(
            "domain.cicd_pipeline_commits",
            "pipeline_id,commit_sha,branch,repo_id,repo_url
             p1,a,main,r1,https://x/web
             p1,b,main,r2,https://x/api
             p2,c,main,r1,https://x/web",
        );
    given.transform(&DOMAIN).await.unwrap();
    assert_eq!(
        given
            .query("SELECT id, name, result, environment, duration_sec, original_environment, subtask_name FROM domain.cicd_deployments ORDER BY id")
            .await,
        [
            "p1 | one | SUCCESS | PRODUCTION | 60.9 |  | dora.generateDeployments",
            "p2 | two | FAILURE | PRODUCTION | 60.0 |  | dora.generateDeployments",
            "p6 | no commit | SUCCESS | TESTING | 60.0 |  | dora.generateDeployments",
        ]
    );
    assert_eq!(
        given
            .query("SELECT id, cicd_deployment_id, commit_sha, ref_name, environment, started_date, subtask_name FROM domain.cicd_deployment_commits ORDER BY id")
            .await,
        [
            "p1:https://x/api | p1 | b | main | PRODUCTION | 2026-05-01T10:01:00Z | dora.generateDeploymentCommits",
            "p1:https://x/web | p1 | a | main | PRODUCTION | 2026-05-01T10:01:00Z | dora.generateDeploymentCommits",
            "p2:https://x/web | p2 | c | main | PRODUCTION | 2026-05-01T11:00:10Z | dora.generateDeploymentCommits",
        ]
    );
}

/// A chain of two production deployments with a failure and another environment between.
const DEPLOYMENT_COMMITS: &str = "id,commit_sha,cicd_deployment_id,cicd_scope_id,repo_id,repo_url,result,environment,started_date,finished_date
    d1,c2,D1,s1,r1,https://x/Web.git,SUCCESS,PRODUCTION,2026-05-01 10:00:00,2026-05-01 10:10:00
    d2,c3,D2,s1,r1,https://x/web,FAILURE,PRODUCTION,2026-05-02 10:00:00,2026-05-02 10:10:00
    d3,c3,D3,s1,r1,https://x/web/,SUCCESS,STAGING,2026-05-03 10:00:00,2026-05-03 10:10:00
    d4,c5,D4,s1,r1,https://x/web,SUCCESS,PRODUCTION,2026-05-04 10:00:00,2026-05-04 10:10:00";

/// c1 ◀ c2 ◀ c3 ◀ m5 = c5, with c4 merged in.
const PARENTS: &str = "commit_sha,parent_commit_sha,parent_index
    c2,c1,0
    c3,c2,0
    c4,c2,0
    c5,c3,0
    c5,c4,1";
const REPO_COMMITS: &str = "repo_id,commit_sha
    r1,c1
    r1,c2
    r1,c3
    r1,c4
    r1,c5";

#[tokio::test]
async fn deployment_commits_without_their_chain_get_it_and_its_ranges() {
    let given = Outside::new()
        .csv("domain.project_mapping", MAPPING)
        .csv("domain.cicd_deployment_commits", DEPLOYMENT_COMMITS)
        .csv("domain.commit_parents", PARENTS)
        .csv("domain.repo_commits", REPO_COMMITS);
    given.transform(&DOMAIN).await.unwrap();
    assert_eq!(
        given
            .query("SELECT id, prev_success_deployment_commit_id FROM domain.cicd_deployment_commits ORDER BY id")
            .await,
        ["d1 |", "d2 |", "d3 |", "d4 | d1"]
    );
    assert_eq!(
        given
            .query("SELECT new_commit_sha, old_commit_sha, commit_sha, sorting_index FROM domain.commits_diffs ORDER BY sorting_index")
            .await,
        ["c5 | c2 | c5 | 1", "c5 | c2 | c3 | 2", "c5 | c2 | c4 | 3"]
    );
}

#[tokio::test]
async fn a_given_chain_is_kept_and_all_diffs_can_be_asked_for() {
    let lines = DEPLOYMENT_COMMITS.lines().enumerate().map(|(n, line)| {
        let last = ["prev_success_deployment_commit_id", "", "", "", "d2"][n];
        format!("{line},{last}")
    });
    let chained = lines.collect::<Vec<_>>().join("\n");
    let given = Outside::new()
        .csv("domain.project_mapping", MAPPING)
        .csv("domain.cicd_deployment_commits", &chained)
        .csv("domain.commit_parents", PARENTS)
        .csv("domain.repo_commits", REPO_COMMITS)
        .with("[rules.default]\ncommits_diffs = \"all\"");
    given.transform(&DOMAIN).await.unwrap();
    assert_eq!(
        given
            .query("SELECT new_commit_sha, old_commit_sha, string_agg(commit_sha, ' ' ORDER BY sorting_index) FROM domain.commits_diffs GROUP BY 1, 2 ORDER BY 1, 2")
            .await,
        ["c2 |  | c2 c1", "c3 |  | c3 c2 c1", "c5 | c3 | c5 c4"]
    );
}

const PULL_REQUESTS: &str = "id,base_repo_id,status,author_id,pull_request_key,created_date,merged_date,merge_commit_sha,title,head_ref
    pr1,r1,MERGED,ann,1,2026-05-03 10:00:00,2026-05-03 11:00:30,c4,Fix #12,feature
    pr2,r1,MERGED,ann,2,2026-05-05 10:00:00,2026-05-05 10:00:00,c9,Late,PAY-7
    pr3,r1,OPEN,ann,3,2026-05-05 10:00:00,,,Open,x";

#[tokio::test]
async fn lead_times_come_from_given_ranges() {
    let given = Outside::new()
        .csv("domain.project_mapping", MAPPING)
        .csv("domain.cicd_deployment_commits", DEPLOYMENT_COMMITS)
        .csv("domain.pull_requests", PULL_REQUESTS)
        .csv(
            "domain.pull_request_commits",
            "pull_request_id,commit_sha,commit_authored_date
             pr1,x2,2026-05-03 09:00:00
             pr1,x1,2026-05-03 09:00:00",
        )
        .csv(
            "domain.pull_request_comments",
            "id,pull_request_id,account_id,created_date
             k1,pr1,ann,2026-05-03 10:01:00
             k2,pr1,bob,2026-05-03 10:30:01",
        )
        .csv(
            "domain.commits_diffs",
            "new_commit_sha,old_commit_sha,commit_sha,sorting_index
             c5,c2,c5,1
             c5,c2,c4,2",
        );
    given.transform(&DORA).await.unwrap();
    let devlake = "SELECT id, first_commit_sha, pr_coding_time, first_review_id, pr_pickup_time, pr_review_time, \
                   deployment_commit_id, pr_deploy_time, pr_cycle_time, pr_deployed_date FROM dora.project_pr_metrics ORDER BY id";
    assert_eq!(
        given.query(devlake).await,
        [
            "pr1 | x1 | 60 | k2 | 31 | 31 | d4 | 1390 | 1511 | 2026-05-04T10:10:00Z",
            "pr2 |  | NULL |  | NULL | NULL |  | NULL | 0 | NULL",
        ]
    );
    assert_eq!(
        given
            .query("SELECT id, attribution, deployed_date_source, exclusion_reason FROM dora.project_pr_metrics ORDER BY id")
            .await,
        ["pr1 | contained | diffs | NULL", "pr2 | none |  | unknown commit"]
    );
}

#[tokio::test]
async fn incidents_come_from_issues_and_point_at_the_deployment_before() {
    let given = Outside::new()
        .csv("domain.project_mapping", MAPPING)
        .csv("domain.cicd_deployment_commits", DEPLOYMENT_COMMITS)
        .csv(
            "domain.issues",
            "id,issue_key,type,created_date,assignee_id,assignee_name
             i1,1,INCIDENT,2026-05-04 10:10:00,ann,Ann
             i2,2,BUG,2026-05-04 12:00:00,,
             i3,3,INCIDENT,2026-05-04 12:00:00,,
             i4,4,INCIDENT,2026-04-01 12:00:00,,
             i5,5,INCIDENT,2026-05-04 12:00:00,,",
        )
        .csv(
            "domain.board_issues",
            "board_id,issue_id
             b1,i1
             b1,i2
             b1,i3
             b1,i4
             b2,i5",
        )
        .csv(
            "domain.issue_assignees",
            "issue_id,assignee_id,assignee_name\ni3,bob,Bob",
        );
    given.transform(&DORA).await.unwrap();
    assert_eq!(
        given
            .query("SELECT id, incident_key, \"table\", scope_id FROM domain.incidents ORDER BY id")
            .await,
        [
            "i1 | 1 | boards | b1",
            "i3 | 3 | boards | b1",
            "i4 | 4 | boards | b1"
        ]
    );
    assert_eq!(
        given
            .query("SELECT incident_id, assignee_id, assignee_name FROM domain.incident_assignees ORDER BY 1, 2")
            .await,
        ["i1 | ann | Ann", "i3 |  |", "i3 | bob | Bob", "i4 |  |"]
    );
    // i1 began at the instant at which d4 finished: the deployment before d4 is blamed.
    assert_eq!(
        given
            .query("SELECT id, project_name, deployment_id FROM dora.project_incident_deployment_relationships ORDER BY id")
            .await,
        ["i1 | shop | D1", "i3 | shop | D4"]
    );
    assert_eq!(
        given
            .query("SELECT incident_id, unlinked_reason FROM dora.incidents WHERE deployment_id = '' ORDER BY 1")
            .await,
        ["i4 | no deployment before it"]
    );
}

#[tokio::test]
async fn links_and_tags_work_on_given_inputs() {
    let given = Outside::new()
        .csv("domain.project_mapping", MAPPING)
        .csv("domain.pull_requests", PULL_REQUESTS)
        .csv("domain.commit_parents", PARENTS)
        .csv("domain.repo_commits", REPO_COMMITS)
        .csv("domain.issues", "id,issue_key\ni12,12\ni13,13")
        .csv("domain.board_issues", "board_id,issue_id\nb1,i12\nb1,i13")
        .csv(
            "domain.refs",
            "id,repo_id,name,commit_sha,ref_type
             r1:refs/tags/v1.9.0,r1,refs/tags/v1.9.0,c2,TAG
             r1:refs/tags/v1.10.0,r1,refs/tags/v1.10.0,c5,TAG
             r1:refs/tags/v1.10.0-rc1,r1,refs/tags/v1.10.0-rc1,c3,TAG
             r1:main,r1,main,c5,BRANCH",
        );
    given.transform(&DOMAIN).await.unwrap();
    assert_eq!(
        given
            .query("SELECT pull_request_id, issue_key, issue_id, link_sources, in_devlake FROM domain.pull_request_issues ORDER BY 1, 2")
            .await,
        ["pr1 | 12 | i12 | title | true", "pr2 | PAY-7 |  | branch | false"]
    );
    assert_eq!(
        given
            .query("SELECT pair_index, new_ref_id, old_ref_id FROM domain.ref_commits ORDER BY pair_index")
            .await,
        [
            "1 | r1:refs/tags/v1.10.0 | r1:refs/tags/v1.10.0-rc1",
            "2 | r1:refs/tags/v1.10.0-rc1 | r1:refs/tags/v1.9.0"
        ]
    );
    assert_eq!(
        given
            .query("SELECT new_ref_id, issue_number, issue_id FROM domain.refs_issues_diffs")
            .await,
        ["r1:refs/tags/v1.10.0 | 12 | i12"]
    );
}
