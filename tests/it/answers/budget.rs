//! Spent requests are remembered across runs.

use std::collections::BTreeMap;

use bitlake::bitbucket::BudgetRecord;
use bitlake::collect::StopSignal;

use super::*;

async fn account(bench: &Bench) -> BudgetRecord {
    let path =
        "_bitlake/budget/connection-1-access-token%20from%20environment%20variable%20TOKEN.json";
    bench.lake.get_json(path).await.unwrap().unwrap()
}

fn total(minutes: &BTreeMap<chrono::DateTime<chrono::Utc>, u32>) -> usize {
    minutes.values().sum::<u32>() as usize
}

#[tokio::test]
async fn a_run_within_the_hour_starts_with_the_remaining_budget() {
    let folder = served();
    let mut alike = bench(&folder).await;
    alike.complete().await;
    let first = alike.sandbox.request_log().len();
    let limit = first + 10;
    let mut bench = bench(&folder).await;
    let ceiling = format!("\nrequests_per_hour = {limit}");
    bench.connection.push_str(&ceiling);
    bench.complete().await;
    let spent = account(&bench).await;
    assert_eq!((total(&spent.minutes), spent.open), (first, 0));
    // A wait for the next hour would pass the deadline.
    let error = loop {
        bench.full = true;
        bench.stop = StopSignal::new(Some(Duration::from_secs(600)));
        match bench.run().await {
            Ok(report) if report.stopped.is_none() => {}
            Ok(report) => break report.stopped.unwrap().to_string(),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("the deadline is sooner"), "{error}");
    assert_eq!(bench.sandbox.request_log().len(), limit);
}

#[tokio::test]
async fn a_block_is_written_down_before_its_first_request_goes_out() {
    let folder = served();
    let mut bench = bench(&folder).await;
    // The run dies in the middle: its budget is never closed.
    bench
        .sandbox
        .inject(Fault::on("/web/").delay(Duration::from_secs(60)));
    bench.limits.read_timeout = Duration::from_secs(60);
    let run = tokio::time::timeout(Duration::from_secs(1), bench.run());
    assert!(run.await.is_err(), "it hangs");
    let spent = account(&bench).await;
    assert!(total(&spent.minutes) + spent.open as usize >= bench.sandbox.request_log().len());
    assert!(spent.open >= 20);
}

#[tokio::test]
async fn the_wait_after_a_429_continues_in_the_next_run() {
    let folder = served();
    let mut bench = bench(&folder).await;
    let refusal = Fault::on("/web/refs?")
        .status(429)
        .header("retry-after", "1800");
    bench.sandbox.inject(refusal.times(1));
    bench.stop = StopSignal::new(Some(Duration::from_secs(600)));
    let report = bench.run().await.unwrap();
    assert!(
        report
            .stopped
            .unwrap()
            .to_string()
            .contains("the deadline is sooner")
    );
    bench.sandbox.reset_requests();
    bench.stop = StopSignal::new(Some(Duration::from_secs(600)));
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota);
    assert_eq!(bench.sandbox.request_log().len(), 0);
}
