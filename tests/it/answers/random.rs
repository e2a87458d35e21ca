//! With one random fault in twenty replies, the lake is byte-identical.

use super::super::world::World;
use super::*;

/// Run more seeds by hand: `FAULTY_SEEDS=200 cargo test --release --test it answers::random`.
fn seeds() -> u64 {
    let more = std::env::var("FAULTY_SEEDS").ok();
    more.and_then(|more| more.parse().ok()).unwrap_or(4)
}

/// A repository with a history of some months.
fn lived() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    for n in 0..400 {
        world.happen(n as u8, n * 7);
    }
    world.write(folder.path());
    folder
}

/// Return the source layer's files and the number of requests.
async fn collected(
    folder: &TempDir,
    faults: Vec<Fault>,
) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let builder = Sandbox::builder().workspace_dir(folder.path());
    let mut bench = Bench::new(builder.faults(faults)).await;
    bench.limits = Limits {
        read_timeout: Duration::from_millis(400),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(4),
        rate_limit_first_wait: Duration::from_millis(1),
        rate_limit_longest_wait: Duration::from_millis(4),
        ..Limits::default()
    };
    bench.complete().await;
    bench.transform(&["bitbucket"]).await.unwrap();
    (bench.source(), bench.sandbox.request_log())
}

#[tokio::test]
async fn one_faulty_reply_in_twenty_changes_no_byte() {
    let folder = lived();
    let (whole, requests) = collected(&folder, Vec::new()).await;
    assert!(whole.len() > 15, "{:?}", whole.keys());
    for seed in 0..seeds() {
        let (faulty, more) = collected(&folder, vec![Fault::random(seed, 50)]).await;
        assert!(
            more.len() > requests.len(),
            "seed {seed}: nothing was asked again"
        );
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
    let folder = lived();
    let (whole, requests) = collected(&folder, Vec::new()).await;
    let later = |path: &str| path.contains("page=2") || path.contains("ctx=");
    assert!(
        requests.iter().any(|path| later(path)),
        "no list has two pages"
    );
    let (shifted, _) = collected(&folder, vec![Fault::on("/").shift(3)]).await;
    assert!(whole == shifted);
}
