//! Memory is bounded for any size of the source layer; `benches/memory.rs` measures it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bitlake::config::Config;
use bitlake::lake::Lake;
use bitlake::transform::{TransformOptions, open_published, transform};

use super::support::lines_of;
use super::wide;

#[tokio::test]
async fn segments_that_are_larger_than_the_memory_are_folded_and_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("lake").display().to_string();
    let text = format!("[lake]\nurl = {url:?}\n");
    let mut config =
        Config::parse(&text, Path::new("bitlake.toml"), &BTreeMap::new(), &[]).unwrap();
    // 32 MiB of rows, of which 18 MiB may be in memory during the sort.
    config.lake.memory_limit = Some(30 << 20);
    let lake = Lake::create(&url, &BTreeMap::new()).unwrap();
    wide::generate(&lake, 1, 8_000, 2_000).await;
    let lock = lake.lock().unwrap();
    for rebuild in [false, true] {
        let options = TransformOptions {
            only: Some(BTreeSet::from(["config".to_owned()])),
            rebuild,
            ..TransformOptions::default()
        };
        let report = transform(&config, &lake, &lock, "run", wide::now(), &options).await;
        assert_eq!(report.unwrap().published.files_written > 0, !rebuild);
    }
    let engine = open_published(&lake, None).await.unwrap();
    let sql = "SELECT count(*), count(DISTINCT id), min(length(description)) FROM bitbucket.pull_requests";
    assert_eq!(
        lines_of(&engine, sql).await.unwrap(),
        ["8000 | 8000 | 2000"]
    );
}
