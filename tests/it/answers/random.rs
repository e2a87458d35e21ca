//! With one reply in twenty faulty, whichever way, the lake is the same to the byte.

use super::*;

/// More than a day's tests take, by hand: `FAULTY_SEEDS=200 cargo test --release --test it answers::random`.
fn seeds() -> u64 {
    let more = std::env::var("FAULTY_SEEDS").ok();
    more.and_then(|more| more.parse().ok()).unwrap_or(4)
}

async fn collected(faults: Vec<Fault>) -> BTreeMap<String, Vec<u8>> {
    let builder = Sandbox::builder().demo().faults(faults);
    let mut bench = Bench::new(builder).await;
    bench.limits = Limits {
        read_timeout: Duration::from_millis(400),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(4),
        refused_first_wait: Duration::from_millis(1),
        refused_longest_wait: Duration::from_millis(4),
        ..Limits::default()
    };
    bench.complete().await;
    bench.transform(&["bitbucket"]).await.unwrap();
    bench.source()
}

#[tokio::test]
async fn one_faulty_reply_in_twenty_changes_no_byte() {
    let whole = collected(Vec::new()).await;
    assert!(whole.len() > 20, "{:?}", whole.keys());
    for seed in 0..seeds() {
        let faulty = collected(vec![Fault::random(seed, 50)]).await;
        assert_eq!(
            whole.keys().collect::<Vec<_>>(),
            faulty.keys().collect::<Vec<_>>(),
            "seed {seed}"
        );
        for (file, bytes) in &whole {
            assert!(faulty[file] == *bytes, "seed {seed}: {file}");
        }
    }
}

#[tokio::test]
async fn rows_that_shift_between_pages_change_no_byte() {
    let whole = collected(Vec::new()).await;
    let shifted = collected(vec![Fault::on("/").shift(3)]).await;
    assert!(whole == shifted);
}
