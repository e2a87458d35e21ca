//! Mutated replies of Bitbucket: a run continues, fails that list, or stops with a typed error; no reply leaves a secret on
//! the lake, and the next run against a healthy server repairs it.

use std::path::Path;
use std::time::Duration;

use bitlake::bitbucket::Limits;
use bitlake_sandbox::{Fault, Sandbox};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::answers::workspace;
use super::super::support::*;
use super::{mutate, mutations};

/// Run more by hand: `BENT_REPLIES=500 cargo test --test it fuzz::replies`.
fn cases() -> usize {
    let more = std::env::var("BENT_REPLIES").ok();
    more.and_then(|more| more.parse().ok()).unwrap_or(16)
}

fn limits() -> Limits {
    Limits {
        retries: 1,
        first_contact_retries: 1,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(2),
        rate_limit_retries: 1,
        rate_limit_first_wait: Duration::from_millis(1),
        rate_limit_longest_wait: Duration::from_millis(2),
        max_pages: 30,
        ..Limits::default()
    }
}

/// Return the paths that an undisturbed run requests, each with its reply.
async fn answers(folder: &Path) -> Vec<(String, String)> {
    let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder)).await;
    bench.complete().await;
    let http = reqwest::Client::new();
    let mut answers = Vec::new();
    let mut paths = bench.sandbox.request_log();
    paths.sort();
    paths.dedup();
    let endpoint = reqwest::Url::parse(&bench.sandbox.endpoint()).unwrap();
    for path in paths {
        let url = endpoint.join(&path).unwrap();
        let reply = http.get(url).bearer_auth("s3cr3t").send().await.unwrap();
        if reply.status().is_success() {
            answers.push((path, reply.text().await.unwrap()));
        }
    }
    assert!(answers.len() > 10, "{answers:?}");
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bent_reply_is_survived_and_healed() {
    let folder = tempfile::tempdir().unwrap();
    workspace::write(folder.path());
    let answers = answers(folder.path()).await;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut bent = 0;
    for n in 0..cases() {
        let (path, answer) = &answers[n * 7 % answers.len()];
        let mutations = mutations().new_tree(&mut runner).unwrap().current();
        let body = mutate(answer, &mutations);
        bent += usize::from(body != *answer);
        let mut bench = Bench::new(Sandbox::builder().workspace_dir(folder.path())).await;
        bench.limits = limits();
        bench
            .sandbox
            .inject(Fault::on(path.as_str()).times(1).body(body.as_str()));
        if let Err(error) = bench.run().await {
            assert!(error.kind().exit_code() < 5, "{path}: {error}\n{body}");
        }
        bench.limits = Limits::default();
        if let Err(error) = bench.run().await {
            panic!("{path}: {error}\n{body}");
        }
    }
    assert!(bent * 10 > cases() * 9);
}
