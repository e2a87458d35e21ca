//! Changes of names, credentials and rules: which records keep their identity, and which requests a run sends.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bitlake::lake::ListStatus;
use bitlake_sandbox::Fault;

use super::support::*;

/// Run with the source layer and these layers; return the number of written files.
async fn export(bench: &mut Bench, layers: &[&str]) -> u64 {
    bench.run().await.unwrap();
    let report = bench.transform(layers).await.unwrap();
    report.published.files_written
}

/// Rename the repository `acme/web` of a workspace's folder to `acme/shop`; return its new folder.
fn rename_to_shop(web: &Path) -> PathBuf {
    let shop = web.with_file_name("shop");
    std::fs::rename(web, &shop).unwrap();
    let record = shop.join("repository.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let text = text
        .replace("acme/web", "acme/shop")
        .replace("\"web\"", "\"shop\"");
    std::fs::write(&record, text).unwrap();
    shop
}

#[tokio::test]
async fn a_renamed_repository_takes_its_rows_along() {
    let (mut bench, web) = Bench::copy_of("deployment_stopped").await;
    export(&mut bench, &["domain"]).await;
    assert!(paths(&bench).iter().any(|path| path.contains("repo=web")));

    rename_to_shop(&web);
    bench.sandbox.reload().unwrap();
    // Rows of an unavailable list move as well.
    bench.sandbox.inject(Fault::on("/pipelines/?").status(404));
    export(&mut bench, &["domain"]).await;

    assert_eq!(
        bench.query("SELECT id FROM domain.repos").await,
        ["bitbucket:BitbucketRepo:1:acme/shop"]
    );
    for (table, column) in [
        ("cicd_pipelines", "cicd_scope_id"),
        ("cicd_tasks", "cicd_scope_id"),
        ("cicd_deployments", "cicd_scope_id"),
        ("refs", "repo_id"),
        ("repo_commits", "repo_id"),
    ] {
        let sql = format!("SELECT DISTINCT {column} FROM domain.{table}");
        let ids = bench.query(&sql).await;
        assert_eq!(ids, ["bitbucket:BitbucketRepo:1:acme/shop"], "{table}");
    }
    let left: Vec<_> = paths(&bench)
        .into_iter()
        .filter(|path| path.contains("repo=web"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(bench.lake.versioned_states().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_new_repository_under_the_old_name_of_another_has_only_its_own_rows() {
    let (mut bench, web) = Bench::copy_of("deployment_stopped").await;
    export(&mut bench, &["domain"]).await;
    let pipelines = "SELECT _repository, count(*) FROM bitbucket.pipelines GROUP BY 1 ORDER BY 1";
    let before = bench.query(pipelines).await;

    let record = std::fs::read_to_string(web.join("repository.json")).unwrap();
    let shop = rename_to_shop(&web);
    std::fs::create_dir(&web).unwrap();
    let new = record.replace(
        "{00000460-0000-4000-8000-000000000001}",
        "{00000460-0000-4000-8000-000000000002}",
    );
    assert_ne!(new, record);
    std::fs::write(web.join("repository.json"), new).unwrap();
    std::fs::copy(shop.join("branches.jsonl"), web.join("branches.jsonl")).unwrap();
    bench.sandbox.reload().unwrap();
    for _ in 0..2 {
        export(&mut bench, &["domain"]).await;
        let moved = before
            .iter()
            .map(|line| line.replace("acme/web", "acme/shop"));
        assert_eq!(bench.query(pipelines).await, moved.collect::<Vec<_>>());
    }
    let branches =
        "SELECT DISTINCT _repository, _repository_uuid FROM bitbucket.branches ORDER BY 1";
    assert_eq!(bench.query(branches).await.len(), 2);
}

#[tokio::test]
async fn other_credentials_change_no_state_and_no_id() {
    let mut bench = Bench::quirk("approval_activity").await;
    export(&mut bench, &[]).await;
    let states = keys_of_states(&bench);
    let published = paths(&bench);
    for connection in [
        "auth = \"api-token\"\nemail = \"ann@acme.example\"\ntoken = { env = \"TOKEN\" }",
        "auth = \"app-password\"\nusername = \"ann\"\npassword = { env = \"TOKEN\" }",
    ] {
        bench.connection = connection.to_owned();
        assert_eq!(
            export(&mut bench, &[]).await,
            0,
            "nothing new was published"
        );
        assert_eq!(keys_of_states(&bench), states);
        assert_eq!(paths(&bench), published);
    }
}

/// Return the published files of the lake.
fn paths(bench: &Bench) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(bench.lake.folder().unwrap(), &mut found);
    found.retain(|path| path.ends_with(".parquet") && !path.contains("_bitlake"));
    found
}

fn keys_of_states(bench: &Bench) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(
        &bench.lake.folder().unwrap().join("_bitlake/state"),
        &mut found,
    );
    found
}

fn walk(folder: &std::path::Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, found),
            false => drop(found.insert(path.display().to_string())),
        }
    }
}

#[tokio::test]
async fn a_later_page_that_is_refused_leaves_the_published_rows_alone() {
    let mut bench = Bench::quirk("pagelen_over_cap_400").await;
    export(&mut bench, &[]).await;
    bench
        .sandbox
        .inject(Fault::on("/pullrequests?").and("page=2").status(404));
    let report = bench.run().await.unwrap();
    assert_eq!(
        web(&report, "pull_requests").status,
        Some(ListStatus::Failed)
    );
    bench.transform(&[]).await.unwrap();
    let count = "SELECT count(*) FROM bitbucket.pull_requests";
    assert_eq!(bench.query(count).await, ["51"]);
}

/// The requests of each group of `entities`, below the repository or the workspace.
const ROUTES: [(&str, &[&str]); 5] = [
    ("issues", &["/issues"]),
    ("code", &["/refs", "/commits"]),
    (
        "review",
        &[
            "/pullrequests",
            "/pullrequests/activity",
            "/pullrequests/{pull_request_id}/commits",
        ],
    ),
    ("cicd", &["/pipelines", "/deployments", "/environments"]),
    ("accounts", &["/members"]),
];

#[tokio::test]
async fn a_group_left_out_of_the_rules_costs_no_request() {
    for (group, routes) in ROUTES {
        let mut bench = Bench::quirk("approval_activity").await;
        bench.more = format!("[rules.default]\nentities = [\"{group}\"]");
        bench.complete().await;
        let asked: BTreeSet<String> = bench
            .sandbox
            .requests()
            .into_keys()
            .filter_map(|route| {
                let route = route.trim_end_matches('/');
                let (_, below) = route
                    .split_once("{repo_slug}")
                    .or_else(|| route.split_once("/workspaces/{workspace}"))?;
                Some(below.to_owned()).filter(|below| !below.is_empty())
            })
            .collect();
        let expected: BTreeSet<String> = routes.iter().map(|&route| route.to_owned()).collect();
        assert_eq!(asked, expected, "{group}");
    }
}
