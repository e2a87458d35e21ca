//! A synthetic workspace answers like any other workspace, and its lists agree with one another.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Day, SyntheticWorkspace, Variety};
use super::*;

fn small() -> SyntheticWorkspace {
    SyntheticWorkspace {
        repositories: 2,
        idle: 1,
        pull_requests: 60,
        pipelines: 120,
        squashed: 25,
        branches: 8,
        tags: 5,
        past: chrono::TimeDelta::days(30),
        now: "2026-11-23T10:00:00Z".parse().unwrap(),
        variety: Variety::default(),
    }
}

async fn workspace() -> Sandbox {
    start(Sandbox::builder().synthetic(small())).await
}

async fn start(builder: Builder) -> Sandbox {
    builder.start(0).await.unwrap()
}

/// Return all records of a repository's list, by `next` or else by page number.
async fn all(sandbox: &Sandbox, repository: &str, path: &str) -> Vec<Value> {
    let mut records = Vec::new();
    let mut url = format!("repositories/acme/{repository}{path}");
    loop {
        let page = get(sandbox, &url).await;
        assert_eq!(page.status, 200, "{url}: {}", page.text);
        records.extend(page.json()["values"].as_array().unwrap().clone());
        match page.next() {
            Some(next) => url = next,
            None => return records,
        }
    }
}

const STATES: &str =
    "/pullrequests?pagelen=50&state=OPEN&state=MERGED&state=DECLINED&fields=%2Bvalues.participants";

#[tokio::test]
async fn lists_have_the_announced_sizes() {
    let sandbox = workspace().await;
    let sizes = sandbox.sizes(1).unwrap();
    assert_eq!(
        (sizes.pull_requests, sizes.pipelines, sizes.branches),
        (60, 120, 8)
    );
    for (path, size) in [
        ("/refs/branches?pagelen=100", sizes.branches),
        ("/refs/tags?pagelen=100", sizes.tags),
        ("/refs?pagelen=7", sizes.branches + sizes.tags),
        ("/commits?pagelen=100", sizes.commits),
        (STATES, sizes.pull_requests),
        ("/pullrequests?pagelen=50", sizes.open),
        ("/pullrequests/activity?pagelen=50", sizes.activity),
        ("/pipelines/?pagelen=100", sizes.pipelines),
        ("/deployments/?pagelen=5", sizes.deployments),
        ("/environments/?pagelen=100", sizes.environments),
    ] {
        assert_eq!(all(&sandbox, "repo-001", path).await.len(), size, "{path}");
    }
}

#[tokio::test]
async fn pages_above_the_cap_and_unsupported_page_numbers_are_refused() {
    let sandbox = workspace().await;
    for path in [
        "/pullrequests?pagelen=51",
        "/pullrequests/activity?pagelen=51",
        "/pullrequests/1/activity?pagelen=51",
        "/pullrequests/1/comments?pagelen=101",
        "/pullrequests/1/commits?page=1",
        "/commits?page=1",
        "/commits?pagelen=101",
        "/refs/branches?pagelen=101",
        "/pipelines/?pagelen=101",
        "/pipelines/?sort=-completed_on",
        "/deployments/?pagelen=101",
        "/deployments/?sort=-last_update_time",
    ] {
        let url = format!("repositories/acme/repo-000{path}");
        assert_eq!(get(&sandbox, &url).await.status, 400, "{path}");
    }
    for path in [
        "repositories/acme/repo-002",
        "repositories/other/repo-000",
        "repositories/acme/repo-0",
    ] {
        assert_eq!(get(&sandbox, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_feeds_comments_are_those_of_each_pull_request() {
    let sandbox = workspace().await;
    let mut by_feed: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for entry in all(&sandbox, "repo-000", "/pullrequests/activity?pagelen=50")
        .await
        .into_iter()
        .rev()
    {
        let of = by_feed
            .entry(entry["pull_request"]["id"].as_i64().unwrap())
            .or_default();
        of.extend(entry.get("comment").cloned());
    }
    let pull_requests = all(&sandbox, "repo-000", STATES).await;
    assert_eq!(pull_requests.len(), by_feed.len());
    for record in pull_requests {
        let id = record["id"].as_i64().unwrap();
        let listed = all(
            &sandbox,
            "repo-000",
            &format!("/pullrequests/{id}/comments?pagelen=100"),
        )
        .await;
        assert_eq!(record["comment_count"], listed.len());
        assert_eq!(by_feed[&id], listed, "{id}");
    }
}

/// Return the commits reachable from `head` and not in `known`.
fn ancestors(
    commits: &BTreeMap<String, Value>,
    head: &str,
    known: &BTreeSet<String>,
) -> BTreeSet<String> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![head.to_owned()]);
    while let Some(hash) = open.pop() {
        if !known.contains(&hash) && seen.insert(hash.clone()) {
            let parents = commits[&hash]["parents"].as_array().unwrap();
            open.extend(
                parents
                    .iter()
                    .map(|parent| parent["hash"].as_str().unwrap().to_owned()),
            );
        }
    }
    seen
}

#[tokio::test]
async fn commits_are_reachable_from_a_merge_commit_and_not_from_a_squash() {
    let sandbox = workspace().await;
    let listed = all(&sandbox, "repo-000", "/commits?pagelen=100").await;
    let commits: BTreeMap<String, Value> = listed
        .into_iter()
        .map(|commit| (commit["hash"].as_str().unwrap().to_owned(), commit))
        .collect();
    let full = |short: &Value| {
        let short = short.as_str().unwrap();
        assert_eq!(short.len(), 12);
        commits.keys().find(|hash| hash.starts_with(short)).cloned()
    };
    let (mut merges, mut squashes) = (0, 0);
    for record in all(&sandbox, "repo-000", STATES).await {
        if record["state"] != "MERGED" {
            continue;
        }
        let own = format!("/pullrequests/{}/commits?pagelen=100", record["id"]);
        let own: BTreeSet<String> = all(&sandbox, "repo-000", &own)
            .await
            .iter()
            .map(|commit| commit["hash"].as_str().unwrap().to_owned())
            .collect();
        let merge = full(&record["merge_commit"]["hash"]).unwrap();
        let parents = commits[&merge]["parents"].as_array().unwrap();
        if let [trunk, head] = &parents[..] {
            let head = head["hash"].as_str().unwrap();
            assert_eq!(
                full(&record["source"]["commit"]["hash"]).as_deref(),
                Some(head)
            );
            let before = ancestors(&commits, trunk["hash"].as_str().unwrap(), &BTreeSet::new());
            assert_eq!(ancestors(&commits, head, &before), own);
            merges += 1;
        } else {
            assert_eq!(full(&record["source"]["commit"]["hash"]), None);
            squashes += 1;
        }
    }
    let sizes = sandbox.sizes(0).unwrap();
    assert_eq!(squashes, sizes.squashed);
    assert_eq!(
        merges + squashes + sizes.open + sizes.declined,
        sizes.pull_requests
    );
    assert!(merges > 10 * squashes && squashes > 0);
}

#[tokio::test]
async fn a_day_shows_in_busy_repositories_and_not_in_idle_ones() {
    let sandbox = workspace().await;
    let record = async |repository: &str| {
        get(&sandbox, &format!("repositories/acme/{repository}"))
            .await
            .json()
    };
    let heads = async || {
        let branches = all(&sandbox, "repo-000", "/refs?pagelen=100").await;
        branches
            .iter()
            .map(|one| one["target"]["hash"].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let (before, known) = (sandbox.sizes(0).unwrap(), heads().await);
    let (busy, idle) = (record("repo-000").await, record("repo-001").await);
    let day = Day {
        opened: 3,
        closed: 2,
        touched: 9,
        entries: 15,
        pipelines: 20,
    };
    let now = sandbox.advance(&day).unwrap();
    assert_eq!(now.to_rfc3339(), "2026-11-24T10:00:00+00:00");
    let after = sandbox.sizes(0).unwrap();
    assert_eq!(after.pull_requests - before.pull_requests, 3);
    assert_eq!(after.activity - before.activity, 15);
    assert_eq!(after.pipelines - before.pipelines, 20);
    assert_eq!(after.deployments - before.deployments, 2);

    assert_ne!(record("repo-000").await["updated_on"], busy["updated_on"]);
    assert_eq!(record("repo-001").await, idle);
    assert_eq!(
        all(&sandbox, "repo-001", "/pipelines/?pagelen=100")
            .await
            .len(),
        before.pipelines
    );

    let since = "2026-11-23T10:00:00+00:00";
    let feed = all(&sandbox, "repo-000", "/pullrequests/activity?pagelen=50").await;
    let touched: BTreeSet<i64> = feed[..15]
        .iter()
        .map(|one| one["pull_request"]["id"].as_i64().unwrap())
        .collect();
    assert_eq!(touched.len(), 9);
    let q = format!(
        "{STATES}&q=updated_on%20%3E%3D%20%22{}%22",
        since.replace('+', "%2B")
    );
    let changed = all(&sandbox, "repo-000", &q).await;
    assert!(
        changed.len() <= 9 && changed.len() >= 7,
        "{}",
        changed.len()
    );

    // Commits reachable from the new heads and not from the old ones were pushed since.
    let mut range = String::from("/commits?pagelen=100");
    let now = heads().await;
    now.difference(&known)
        .for_each(|head| range.push_str(&format!("&include={head}")));
    known
        .iter()
        .for_each(|head| range.push_str(&format!("&exclude={head}")));
    let pushed = all(&sandbox, "repo-000", &range).await;
    assert!(
        pushed
            .iter()
            .all(|commit| commit["date"].as_str().unwrap() > since)
    );
    assert!(!pushed.is_empty());
    let unknown = get(
        &sandbox,
        "repositories/acme/repo-000/commits?include=0000ffffffff",
    )
    .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn deployments_are_filtered_and_sorted_by_when_they_were_done() {
    let sandbox = workspace().await;
    let state = |record: &Value| record["state"]["name"].as_str().unwrap().to_owned();
    let all = all(&sandbox, "repo-000", "/deployments/?pagelen=100").await;
    let count = |name: &str| all.iter().filter(|one| state(one) == name).count();
    assert_eq!((count("COMPLETED"), count("UNDEPLOYED")), (12, 0));
    let done = get(
        &sandbox,
        "repositories/acme/repo-000/deployments/?pagelen=100&sort=-state.completed_on&state.name=COMPLETED\
         &fields=%2Bvalues.environment.name",
    )
    .await
    .json();
    let times: Vec<_> = done["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"]["completed_on"].clone())
        .collect();
    assert!(
        times
            .windows(2)
            .all(|pair| pair[0].as_str() > pair[1].as_str()),
        "{times:?}"
    );
    assert_eq!(done["values"][0]["environment"]["name"], "Production");
    assert!(done["values"][0]["state"]["status"]["name"].is_string());
    assert_eq!(all[0]["environment"].get("name"), None);
}

#[tokio::test]
async fn requests_above_the_hourly_limit_are_refused_for_each_identity() {
    let sandbox = Sandbox::builder().demo().start(0).await.unwrap();
    sandbox.enforce(2);
    let ask = async |token: &str| {
        let request = reqwest::Client::new()
            .get(format!("{}user", sandbox.endpoint()))
            .bearer_auth(token);
        receive(request).await.status
    };
    assert_eq!(
        [ask("one").await, ask("one").await, ask("one").await],
        [200, 200, 429]
    );
    assert_eq!(ask("two").await, 200);
    assert_eq!(sandbox.refused(), 1);
}

#[tokio::test]
async fn teams_overlap_and_texts_and_hashes_differ() {
    let varied = SyntheticWorkspace {
        variety: Variety {
            team: 10,
            newcomers: 5,
            text: 200,
            reverts: 20,
        },
        ..small()
    };
    let sandbox = start(Sandbox::builder().synthetic(varied)).await;
    let mut teams = Vec::new();
    for repository in ["repo-000", "repo-001"] {
        let pull_requests = all(&sandbox, repository, STATES).await;
        let authors = pull_requests
            .iter()
            .map(|one| one["author"]["uuid"].to_string());
        teams.push(authors.collect::<BTreeSet<_>>());
        let descriptions = pull_requests
            .iter()
            .map(|one| one["description"].as_str().unwrap());
        assert!(descriptions.clone().map(str::len).sum::<usize>() > 60 * 100);
        let reverts = descriptions.filter(|text| text.starts_with("This reverts pull request #"));
        assert_eq!(reverts.count(), 3);
    }
    assert_eq!((teams[0].len(), teams[1].len()), (10, 10));
    assert_eq!(teams[0].intersection(&teams[1]).count(), 5);
    assert_eq!(
        get(&sandbox, "workspaces/acme/members?pagelen=100")
            .await
            .json()["size"],
        15
    );

    let commits = all(&sandbox, "repo-001", "/commits?pagelen=100").await;
    let hashes: Vec<_> = commits
        .iter()
        .map(|commit| commit["hash"].as_str().unwrap())
        .collect();
    let starts: BTreeSet<_> = hashes.iter().map(|hash| &hash[..7]).collect();
    assert_eq!(starts.len(), hashes.len(), "abbreviated hashes differ");
    for hash in hashes {
        let found = get(
            &sandbox,
            &format!("repositories/acme/repo-001/commit/{}", &hash[..12]),
        )
        .await;
        assert_eq!(found.json()["hash"], hash);
    }
}

#[tokio::test]
async fn a_remembered_reply_is_sent_until_the_workspace_advances() {
    let builder = Sandbox::builder().synthetic(small()).remember_replies();
    let sandbox = start(builder).await;
    let list = "repositories/acme/repo-000/pipelines/?pagelen=1&sort=-created_on";
    let first = get(&sandbox, list).await.text;
    assert_eq!(get(&sandbox, list).await.text, first);
    sandbox.advance(&Day {
        pipelines: 1,
        ..Day::default()
    });
    assert_ne!(get(&sandbox, list).await.text, first);
}
