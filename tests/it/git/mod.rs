//! `commits = "git"`: the same commits as by the API, over the sandbox's git.

mod source;

use std::time::{Duration, Instant};

use bitlake::collect::{StopReason, StopSignal};
use bitlake::error::ErrorKind;
use bitlake::lake::ListStatus;
use bitlake_sandbox::{AcceptedCredentials, Fault, Interruption};

use super::support::*;
use source::{Source, cache, set, texts};

/// A small history: a merge of two branches, a tag, an open branch.
fn history() -> Option<Source> {
    let source = Source::new()?;
    source.commit("main", None, 0..8);
    source.commit("side", Some("refs/heads/main~3"), 0..4);
    let (main, side) = (source.hash("main"), source.hash("side"));
    let tree = source.hash("main^{tree}");
    let names = ["-c", "user.name=Bob", "-c", "user.email=bob@acme.example"];
    let merge = [
        "commit-tree",
        &tree,
        "-p",
        &main,
        "-p",
        &side,
        "-m",
        "merge",
    ];
    let merge = source.git(&[&names[..], &merge].concat());
    source.git(&["update-ref", "refs/heads/main", &merge]);
    source.git(&["tag", "v1.0", "main~1"]);
    source.commit("side", Some(&side), 4..6);
    source.publish();
    Some(source)
}

const ORDERED: &str = "ORDER BY sha";

#[tokio::test]
async fn git_and_the_api_give_the_same_commits() {
    let Some(source) = history() else { return };
    let mut tables = Vec::new();
    for by in ["api", "git"] {
        let mut bench = source.bench(by).await;
        let report = bench.complete().await;
        assert_eq!(web(&report, "commits").records, 15);
        assert_eq!(bench.asked(&["/2.0/", "/commits"]) > 0, by == "api");
        bench
            .transform(&["config", "base", "domain"])
            .await
            .unwrap();
        let commits = format!(
            "SELECT sha, message, author_name, author_email, authored_date, author_id, author_account_id, parent_count \
             FROM domain.commits {ORDERED}"
        );
        let parents = "SELECT commit_sha, parent_commit_sha, parent_index FROM domain.commit_parents ORDER BY 1, 2";
        let refs = "SELECT id, commit_sha FROM domain.refs ORDER BY 1";
        let of_repository = "SELECT repo_id, commit_sha FROM domain.repo_commits ORDER BY 2";
        let mut found = Vec::new();
        for sql in [&commits, parents, refs, of_repository] {
            found.push(bench.query(sql).await);
        }
        tables.push(found);
    }
    assert_eq!(tables[0][0].len(), 15);
    assert_eq!(tables[0], tables[1]);
}

#[tokio::test]
async fn git_tells_both_people_both_times_and_the_files_with_their_lines() {
    let Some(source) = history() else { return };
    let mut bench = source.bench("git").await;
    let report = bench.complete().await;
    // First commits and trees, then blobs.
    assert_eq!(report.git_operations, 2);
    assert_eq!(report.requests.get("commits"), None);
    bench.transform(&["config", "domain"]).await.unwrap();
    let commits = "SELECT replace(message, chr(10), ''), additions, deletions, authored_date, committer_name, committer_email, committed_date, url \
                   FROM domain.commits WHERE message LIKE 'side%' OR message LIKE 'merge%' ORDER BY 1 LIMIT 3";
    let url = format!(
        "{}acme/web/commits/",
        bench.sandbox.endpoint().replace("2.0/", "")
    );
    let lines = bench.query(commits).await;
    assert!(lines[0].starts_with("merge | 0 | 0 | "), "{}", lines[0]);
    let side = |n: &str, lines: &str, authored: &str, committed: &str| {
        let url = format!(
            "{url}{}",
            source.hash(&format!("side~{}", 5 - n.parse::<usize>().unwrap()))
        );
        format!("side {n} | {lines} | {authored} | Bob | bob@acme.example | {committed} | {url}")
    };
    assert_eq!(
        lines[1..],
        [
            side("0", "1 | 0", "2026-05-28T20:26:40Z", "2026-06-03T15:20:00Z"),
            side("1", "1 | 0", "2026-05-28T20:27:40Z", "2026-06-03T15:21:00Z"),
        ]
    );
    let files = "SELECT file_path, sum(additions), sum(deletions), count(*) FROM domain.commit_files GROUP BY 1 ORDER BY 1";
    assert_eq!(
        bench.query(files).await,
        ["main.txt | 8 | 0 | 8", "side.txt | 6 | 0 | 6"]
    );
}

#[tokio::test]
async fn without_line_counts_no_contents_are_fetched() {
    let Some(source) = history() else { return };
    let mut bench = source.bench("git").await;
    set(&mut bench, "git", "line_counts = false");
    assert_eq!(bench.complete().await.git_operations, 1);
    let rows = bench.rows("commits").await;
    let files = rows
        .iter()
        .map(|(_, payload)| payload["files"].as_array().unwrap());
    let files: Vec<_> = files.flatten().collect();
    assert_eq!(files.len(), 14);
    assert!(
        files
            .iter()
            .all(|file| file["lines_added"].is_null() && file["status"].is_string())
    );
}

#[tokio::test]
async fn nights_by_git_and_by_the_api_go_on_where_the_other_ended() {
    let Some(source) = history() else { return };
    let mut bench = source.bench("api").await;
    let mut seen = Vec::new();
    for (night, by) in ["api", "git", "api", "git", "git"].iter().enumerate() {
        set(&mut bench, by, "");
        bench.now += chrono::TimeDelta::days(1);
        let report = bench.complete().await;
        seen.push(web(&report, "commits").records);
        let state = bench.state().await.entities.remove("commits").unwrap();
        let mut heads = vec![
            source.hash("main"),
            source.hash("side"),
            source.hash("v1.0^{commit}"),
        ];
        heads.sort();
        assert!(state.heads().iter().eq(&heads));
        assert_eq!(state.backfill, None);
        assert_eq!(state.complete_through, Some(bench.now));
        // Night 3 changes nothing; every other night changes both branches.
        if night != 3 {
            source.commit("main", Some("refs/heads/main"), 100 + night..102 + night);
            source.commit("side", Some("refs/heads/side~1"), 200 + night..201 + night);
            source.publish();
            bench.sandbox.reload().unwrap();
        }
    }
    // The parent of a vanished head is fetched again with the head that replaced it, and is still one row.
    assert_eq!(seen, [15, 4, 4, 4, 0]);
    bench.transform(&["config", "bitbucket"]).await.unwrap();
    let rows = "SELECT count(*), count(DISTINCT hash) FROM bitbucket.commits";
    assert_eq!(bench.query(rows).await, ["24 | 24"]);
}

#[tokio::test]
async fn commits_removed_by_a_force_push_are_left_out_by_a_new_clone() {
    let Some(source) = history() else { return };
    let mut bench = source.bench("git").await;
    bench.complete().await;
    let before = source.hash("side");
    source.commit("side", Some("refs/heads/main~4"), 50..53);
    source.git(&["reflog", "expire", "--expire=now", "--all"]);
    source.git(&["gc", "--quiet", "--prune=now"]);
    source.publish();
    bench.sandbox.reload().unwrap();
    std::fs::remove_dir_all(cache(&bench)).unwrap();
    let report = bench.complete().await;
    assert_eq!(web(&report, "commits").records, 3);
    let state = bench.state().await;
    let heads = state.list("commits").heads();
    assert!(heads.contains(&source.hash("side")) && !heads.contains(&before));
}

#[tokio::test]
async fn a_head_that_moves_between_its_list_and_the_fetch_is_the_next_runs() {
    let Some(source) = history() else { return };
    let mut bench = source.bench("git").await;
    bench.complete().await;
    source.commit("side", Some("refs/heads/side"), 60..61);
    source.publish();
    bench.sandbox.reload().unwrap();
    // The API's list is outdated: git already has another commit in the place of the new one.
    let listed = source.hash("side");
    source.commit("side", Some("refs/heads/side~1"), 61..62);
    let report = bench.complete().await;
    assert_eq!(web(&report, "commits").status, Some(ListStatus::Complete));
    source.publish();
    bench.sandbox.reload().unwrap();
    bench.complete().await;
    let keys = bench.keys("commits").await;
    assert!(keys.contains(&source.hash("side")) && !keys.contains(&listed));
}

#[tokio::test]
async fn a_long_history_is_saved_in_parts_and_goes_on_there() {
    let Some(source) = Source::new() else { return };
    source.commit("main", None, 0..5300);
    source.publish();
    let mut bench = source.bench("git").await;
    set(&mut bench, "git", "line_counts = false");
    bench.stops_after = Some(4);
    let report = bench.run().await.unwrap();
    assert_eq!(web(&report, "commits").records, 5000);
    assert_eq!(web(&report, "commits").status, Some(ListStatus::Loading));
    (bench.stop, bench.stops_after) = (StopSignal::new(None), None);
    let report = bench.complete().await;
    assert_eq!(web(&report, "commits").records, 300);
    let mut keys = bench.keys("commits").await;
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 5300);
}

#[tokio::test]
async fn a_part_that_is_here_counts_for_its_own_range_only() {
    let Some(source) = Source::new() else { return };
    source.commit("main", None, 0..5010);
    source.commit("side", Some("refs/heads/main"), 0..10);
    source.publish();
    let mut bench = source.bench("git").await;
    set(&mut bench, "git", "line_counts = false");
    bench.stops_after = Some(4);
    bench.run().await.unwrap();
    // A head of the range is gone now; its first 5000 commits would be different ones.
    source.git(&["update-ref", "-d", "refs/heads/side"]);
    source.git(&["reflog", "expire", "--expire=now", "--all"]);
    source.git(&["gc", "--quiet", "--prune=now"]);
    source.publish();
    bench.sandbox.reload().unwrap();
    std::fs::remove_dir_all(cache(&bench)).unwrap();
    (bench.stop, bench.stops_after) = (StopSignal::new(None), None);
    let report = bench.complete().await;
    assert_eq!(web(&report, "commits").records, 5010);
}

#[tokio::test]
async fn the_api_goes_on_after_an_unfinished_walk_by_git() {
    let Some(source) = Source::new() else { return };
    source.commit("main", None, 0..5020);
    source.publish();
    let mut bench = source.bench("git").await;
    set(&mut bench, "git", "line_counts = false");
    bench.stops_after = Some(4);
    bench.run().await.unwrap();
    (bench.stop, bench.stops_after) = (StopSignal::new(None), None);
    set(&mut bench, "api", "");
    let report = bench.complete().await;
    assert_eq!(web(&report, "commits").status, Some(ListStatus::Complete));
    let mut keys = bench.keys("commits").await;
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 5020);
}

#[tokio::test]
async fn git_signs_in_as_bitbucket_wants_it_and_leaves_no_secret_anywhere() {
    let Some(source) = history() else { return };
    let hour = Duration::from_secs(3600);
    let ways = [
        (
            "auth = \"api-token\"\nemail = \"ann@acme.example\"\ntoken = { env = \"TOKEN\" }",
            AcceptedCredentials::basic("ann@acme.example", "s3cr3t"),
        ),
        (
            "auth = \"access-token\"\ntoken = { env = \"TOKEN\" }",
            AcceptedCredentials::bearer("s3cr3t"),
        ),
        (
            "auth = \"oauth-client\"\nkey = { env = \"TOKEN\" }\nsecret = { env = \"TOKEN\" }\ntoken_url = \"TOKEN_URL\"",
            AcceptedCredentials::oauth_client("s3cr3t", "s3cr3t", hour),
        ),
        (
            "auth = \"app-password\"\nusername = \"ann\"\npassword = { env = \"TOKEN\" }",
            AcceptedCredentials::basic("ann", "s3cr3t"),
        ),
    ];
    for (connection, credentials) in ways {
        let mut bench = Bench::new(source.builder().credentials(credentials)).await;
        set(&mut bench, "git", "");
        bench.connection = connection.replace("TOKEN_URL", &bench.sandbox.token_url());
        let report = bench.complete().await;
        assert_eq!(web(&report, "commits").records, 15, "{connection}");
        let written = texts(bench.folder.path());
        assert!(written.contains(&source.hash("side")), "clones are there");
        for secret in [
            "s3cr3t",
            "sandbox-access-token",
            "czNjcjN0",
            "x-token-auth",
            "Authorization",
        ] {
            assert!(!written.contains(secret), "{secret}, {connection}");
        }
    }
}

#[tokio::test]
async fn refused_credentials_end_the_run_with_what_to_check() {
    let Some(source) = history() else { return };
    let mut bench = source.bench("git").await;
    let refused = Fault::on(".git/info/refs").status(401);
    bench.sandbox.inject(refused.body("Invalid credentials"));
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let printed = error.to_string();
    assert!(
        printed.contains("environment variable TOKEN") && !printed.contains("s3cr3t"),
        "{printed}"
    );
}

#[tokio::test]
async fn a_public_repository_needs_no_credentials() {
    let Some(source) = history() else { return };
    let credentials = AcceptedCredentials::bearer("s3cr3t");
    let mut bench = Bench::new(source.builder().credentials(credentials)).await;
    set(&mut bench, "git", "");
    bench.connection = "auth = \"none\"".to_owned();
    bench.include = "acme/web".to_owned();
    source.make_public();
    bench.sandbox.reload().unwrap();
    assert_eq!(web(&bench.complete().await, "commits").records, 15);
}

#[tokio::test]
async fn a_token_that_ends_meanwhile_is_renewed() {
    let Some(source) = history() else { return };
    let hour = Duration::from_secs(3600);
    let builder = source
        .builder()
        .credentials(AcceptedCredentials::oauth_client("s3cr3t", "s3cr3t", hour));
    let mut bench = Bench::new(builder).await;
    set(&mut bench, "git", "");
    bench.connection = format!(
        "auth = \"oauth-client\"\nkey = {{ env = \"TOKEN\" }}\nsecret = {{ env = \"TOKEN\" }}\ntoken_url = \"{}\"",
        bench.sandbox.token_url()
    );
    bench.sandbox.inject(
        Fault::on(".git/info/refs")
            .times(1)
            .status(401)
            .body("expired"),
    );
    let report = bench.complete().await;
    assert_eq!(web(&report, "commits").records, 15);
    assert_eq!(report.git_operations, 3);
}

#[tokio::test]
async fn a_repository_that_git_refuses_is_unavailable_and_later_stale() {
    let Some(source) = history() else { return };
    for (status, body) in [(404, "Repository not found"), (403, "no")] {
        let mut bench = source.bench("git").await;
        bench
            .sandbox
            .inject(Fault::on(".git/").times(1).status(status).body(body));
        let report = bench.run().await.unwrap();
        assert_eq!(
            web(&report, "commits").status,
            Some(ListStatus::Unavailable),
            "{status}"
        );
        assert_eq!(web(&report, "branches").status, Some(ListStatus::Complete));
        let report = bench.complete().await;
        assert_eq!(web(&report, "commits").records, 15);
        source.commit("main", Some("refs/heads/main"), 300..301);
        source.publish();
        bench.sandbox.reload().unwrap();
        bench
            .sandbox
            .inject(Fault::on(".git/").status(status).body(body));
        let report = bench.run().await.unwrap();
        assert_eq!(
            web(&report, "commits").status,
            Some(ListStatus::Stale),
            "{status}"
        );
        source.git(&["update-ref", "refs/heads/main", "refs/heads/main~1"]);
        source.publish();
    }
}

#[tokio::test]
async fn transient_git_errors_are_retried_and_persistent_ones_fail_only_the_list() {
    let Some(source) = history() else { return };
    let passing = [
        Fault::on(".git/info/refs")
            .times(2)
            .status(503)
            .body("later"),
        Fault::on(".git/info/refs")
            .times(1)
            .status(429)
            .body("Too many requests"),
        Fault::on(".git/git-upload-pack")
            .times(2)
            .cut(Interruption::Body(40)),
        Fault::on(".git/info/refs")
            .times(1)
            .cut(Interruption::Connection),
        Fault::on(".git/info/refs")
            .times(1)
            .header("content-type", "text/html")
            .body("<html>"),
    ];
    for fault in passing {
        let mut bench = source.bench("git").await;
        let shown = format!("{fault:?}");
        bench.sandbox.inject(fault);
        let report = bench.complete().await;
        assert_eq!(web(&report, "commits").records, 15, "{shown}");
        assert!(report.git_operations > 2, "{shown}");
    }
    let mut bench = source.bench("git").await;
    bench
        .sandbox
        .inject(Fault::on(".git/").status(503).body("later"));
    let report = bench.run().await.unwrap();
    let commits = web(&report, "commits");
    assert_eq!(commits.status, Some(ListStatus::Failed));
    let reason = commits.reason.as_deref().unwrap();
    assert!(
        reason.contains("error: 503") && reason.contains("check git_endpoint"),
        "{reason}"
    );
    assert_eq!(web(&report, "tags").status, Some(ListStatus::Complete));
    bench.sandbox.clear_faults();
    assert_eq!(web(&bench.complete().await, "commits").records, 15);
}

#[tokio::test]
async fn a_deadline_ends_git_at_once_and_the_next_run_has_everything() {
    let Some(source) = history() else { return };
    let mut bench = source.bench("git").await;
    let mut slow = Fault::on(".git/git-upload-pack");
    slow.delay_ms = 20_000;
    bench.sandbox.inject(slow);
    bench.stop = StopSignal::new(Some(Duration::from_secs(2)));
    let begun = Instant::now();
    let report = bench.run().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(bench.stop.reason(), Some(StopReason::Deadline));
    assert!(report.stopped.is_some());
    bench.sandbox.clear_faults();
    bench.stop = StopSignal::new(None);
    assert_eq!(web(&bench.complete().await, "commits").records, 15);
}

#[tokio::test]
async fn an_empty_repository_is_complete() {
    let Some(source) = Source::new() else { return };
    source.publish();
    let mut bench = source.bench("git").await;
    let report = bench.complete().await;
    let commits = web(&report, "commits");
    assert_eq!(
        (commits.status, commits.records),
        (Some(ListStatus::Complete), 0)
    );
}
