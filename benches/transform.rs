//! bench
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "a benchmark may panic")]
mod support;
use support::workspace::{Size, collected};
#[tokio::main]
async fn main() {
    let sizes: Vec<_> = std::env::args().skip(1).filter_map(|it| Size::parse(&it)).collect();
    for size in sizes { collected(size).await; }
}
