//! What a collection costs, list by list: the sandbox counts, and one request more for a repository is a failure.

use std::collections::BTreeMap;

use bitlake::sandbox::{Day, Estate, Sandbox, Sizes};
use chrono::TimeDelta;

use super::support::*;

const REPOSITORIES: usize = 3;

async fn estate() -> Bench {
    let estate = Estate {
        repositories: REPOSITORIES,
        pull_requests: 100,
        pipelines: 500,
        past: TimeDelta::days(60),
        now: at("2026-11-23T10:00:00Z"),
        ..Estate::default()
    };
    let mut bench = Bench::new(Sandbox::builder().estate(estate)).await;
    bench.connection.push_str("\nrequests_per_hour = 100000");
    bench
}

fn pages(records: usize, pagelen: usize) -> usize {
    records.div_ceil(pagelen).max(1)
}

/// Requests by the route's end.
fn spent(bench: &Bench) -> BTreeMap<String, usize> {
    let below = |route: String| match route.split_once("{repo_slug}") {
        Some((_, below)) => below.to_owned(),
        None => route,
    };
    let counts = bench.sandbox.requests().into_iter();
    counts
        .map(|(route, n)| (below(route), n as usize))
        .collect()
}

#[tokio::test]
async fn a_first_load_costs_the_pages_of_its_lists() {
    let mut bench = estate().await;
    bench.complete().await;
    let sizes: Sizes = bench.sandbox.sizes().unwrap();
    println!("{sizes:#?} {:#?}", spent(&bench));
    for day in [
        Day {
            opened: 3,
            closed: 3,
            touched: 10,
            entries: 16,
            pipelines: 20,
        },
        Day::default(),
    ] {
        bench.now = bench.sandbox.live(&day).unwrap();
        bench.sandbox.reset_requests();
        bench.complete().await;
        println!("{:#?}", spent(&bench));
    }
    let _ = pages(1, 1);
    panic!();
}
