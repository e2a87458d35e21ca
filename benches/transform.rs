//! Time bitlake's steps and the same SQL on DuckDB, over the same synthetic source layer.
//!
//! ```text
//! cargo bench --bench transform                    S1 and S10
//! cargo bench --bench transform -- S1 S10 S100     other sizes
//!     --repeat 3      runs of each, of which the shortest time of each step counts (2)
//!     --memory 1024   the memory limit in MiB (2048)
//!     --docs          put the totals into docs/src/performance.md
//! cargo bench --profile dev --bench transform -- --check      fail if a step has become slow beside benches/figures
//! cargo bench --profile dev --bench transform -- --update     write benches/figures
//! ```
//!
//! S10 is a workspace of ten repositories with 1,000 pull requests each. Its lake is collected from the sandbox once, and
//! kept below `target/bench-lakes`. DuckDB comes from PyPI (`tests/engines/requirements.txt`). The two run in turn, in
//! processes of their own, with the same memory limit and two threads each.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark may panic"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use bitlake::config::Config;
use bitlake::lake::Lake;
use bitlake::transform::{TransformOptions, transform};
use tempfile::TempDir;

use support::figures::{self, Figure, Figures};
use support::measure::{Cost, machine, measured, profile, python};
use support::steps::{Comparison, Run, STEPS, StepsBench, THREADS, run_steps};
use support::workspace::{
    Size, TOKEN, collect_into, collected, configuration, copy, lakes, now, serve,
};
use support::{docs, tables};

mod support;

/// As in the program.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What `--check` and `--update` measure.
const KEPT: Size = Size(1);
/// How often `--check` measures again when a step has become slow.
const AGAIN: usize = 2;

#[derive(Debug)]
struct BenchArgs {
    sizes: Vec<Size>,
    repeat: usize,
    /// MiB.
    memory: u64,
    check: bool,
    update: bool,
    docs: bool,
    /// The interpreter that has DuckDB.
    python: PathBuf,
}

impl BenchArgs {
    fn parse(args: &[String]) -> Self {
        let mut parsed = Self {
            sizes: Vec::new(),
            repeat: 2,
            memory: 2048,
            check: false,
            update: false,
            docs: false,
            python: python("tests/engines"),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number = || {
                args.next()
                    .and_then(|it| it.parse().ok())
                    .expect("a number")
            };
            match arg.as_str() {
                "--bench" => {}
                "--check" => parsed.check = true,
                "--update" => parsed.update = true,
                "--docs" => parsed.docs = true,
                "--repeat" => parsed.repeat = number() as usize,
                "--memory" => parsed.memory = number(),
                size => parsed
                    .sizes
                    .push(Size::parse(size).expect("a size, such as S10")),
            }
        }
        if parsed.sizes.is_empty() {
            parsed.sizes = vec![Size(1), Size(10)];
        }
        parsed
    }

    /// Return the memory limit in bytes.
    fn memory_limit(&self) -> u64 {
        self.memory << 20
    }
}

/// A lake of one size, with a configuration for the program, in a folder that is removed at the end.
struct BenchLake {
    size: Size,
    folder: TempDir,
}

impl BenchLake {
    /// Copy the collected lake.
    async fn new(size: Size) -> Self {
        let folder = TempDir::new_in(lakes()).unwrap();
        copy(&collected(size).await, &folder.path().join("lake"));
        let bench = Self { size, folder };
        let text = configuration(
            size,
            bench.lake().to_str().unwrap(),
            "http://127.0.0.1:1/2.0",
        );
        std::fs::write(bench.path("bitlake.toml"), text).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// Run `bitlake transform`.
    fn transform(&self, args: &BenchArgs) -> Transform {
        #[derive(serde::Deserialize)]
        struct Published {
            files_written: u64,
        }

        let mut command = Command::new(env!("CARGO_BIN_EXE_bitlake"));
        command.args(["transform", "--log-format", "json", "--memory-limit"]);
        command.arg(format!("{} MiB", args.memory));
        command.arg("--config").arg(self.path("bitlake.toml"));
        command.env("RUST_LOG", "error").env(TOKEN, "s3cr3t");
        command.env("TOKIO_WORKER_THREADS", THREADS.to_string());
        let (printed, cost) = measured(&mut command, self.folder.path());
        let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let published: Published =
            serde_json::from_value(report["transform"]["published"].clone()).unwrap();
        Transform {
            cost,
            files: published.files_written,
        }
    }

    /// Publish the source layer without running a step.
    async fn publish_source(&self) {
        let path = self.path("bitlake.toml");
        let env = BTreeMap::from([(TOKEN.to_owned(), "s3cr3t".to_owned())]);
        let text = std::fs::read_to_string(&path).unwrap();
        let config = Config::parse(&text, &path, &env, &[]).unwrap();
        let lake = Lake::create(&config.lake.url, &BTreeMap::new()).unwrap();
        let lock = lake.lock().unwrap();
        let options = TransformOptions {
            only: Some(["bitbucket".to_owned()].into()),
            ..TransformOptions::default()
        };
        let transformed = transform(
            &config,
            &lake,
            &lock,
            "20261123T100000Z-bench1",
            now(),
            &options,
        );
        transformed.await.unwrap();
    }

    /// Collect the events of one day of one repository.
    async fn collect_a_day(&self) {
        let (sandbox, now) = serve(self.size, 1).await;
        collect_into(&self.lake(), self.size, &sandbox, now).await;
    }

    /// Run the steps of bitlake and of DuckDB in turn.
    async fn compare(&self, args: &BenchArgs) -> Comparison {
        let steps = StepsBench {
            python: &args.python,
            lake: &self.lake(),
            folder: self.folder.path(),
            memory_limit: args.memory_limit(),
        };
        steps.compare(args.repeat).await
    }
}

/// A run of `bitlake transform`.
#[derive(Debug, Clone, Copy)]
struct Transform {
    cost: Cost,
    /// The files written.
    files: u64,
}

/// Everything that is measured of one size.
struct SizeFigures {
    size: Size,
    comparison: Comparison,
    /// The first transform, which folds all segments and writes all files.
    whole: Transform,
    nothing_new: Transform,
    one_day: Transform,
}

async fn measure(size: Size, args: &BenchArgs) -> SizeFigures {
    let bench = BenchLake::new(size).await;
    let whole = bench.transform(args);
    let comparison = bench.compare(args).await;
    let nothing_new = bench.transform(args);
    bench.collect_a_day().await;
    let one_day = bench.transform(args);
    SizeFigures {
        size,
        comparison,
        whole,
        nothing_new,
        one_day,
    }
}

impl SizeFigures {
    fn sum(&self) -> Figure {
        figures::sum(&self.comparison.figures)
    }

    /// Return the cost of a transform, its share of the whole transform's time, and the files that it wrote.
    fn share(&self, part: Transform) -> String {
        let (cost, files) = (part.cost, part.files);
        let share = 100.0 * cost.wall / self.whole.cost.wall;
        format!(
            "{:.2} s ({share:.1} %), {:.2} CPU s, {files} files",
            cost.wall, cost.cpu
        )
    }
}

/// Return the totals as a Markdown table with a column for each size.
fn totals(all: &[SizeFigures]) -> String {
    let cost = |cost: Cost| {
        format!(
            "{:.1} s, {:.1} CPU s, {:.0} MiB",
            cost.wall,
            cost.cpu,
            cost.peak_mib()
        )
    };
    let run = |run: &Option<Run>| run.as_ref().map_or_else(String::new, |run| cost(run.cost));
    let mut table = tables::Table::new("", all.iter().map(|one| one.size.to_string()));
    let mut row =
        |name: &str, cell: &dyn Fn(&SizeFigures) -> String| table.row(name, all.iter().map(cell));
    row("SQL steps, one after the other", &|one| {
        format!("{:.2} s", one.sum().bitlake)
    });
    row("the same on DuckDB", &|one| {
        format!("{:.2} s", one.sum().duckdb)
    });
    row("ratio", &|one| format!("{:.2}", one.sum().ratio()));
    row("native steps", &|one| {
        let native = one.comparison.bitlake.as_ref().map(|run| run.native);
        format!("{:.2} s", native.unwrap_or_default())
    });
    row("process of all steps", &|one| run(&one.comparison.bitlake));
    row("process of DuckDB", &|one| run(&one.comparison.duckdb));
    row("`bitlake transform` of everything", &|one| {
        cost(one.whole.cost)
    });
    row("… with nothing new", &|one| one.share(one.nothing_new));
    row("… with one repository's day", &|one| {
        one.share(one.one_day)
    });
    for pair in all.windows(2) {
        let (small, large) = (&pair[0], &pair[1]);
        let exponent = |of: &dyn Fn(&SizeFigures) -> f64| {
            (of(large) / of(small)).ln() / (large.size.0 as f64 / small.size.0 as f64).ln()
        };
        let cells = all.iter().map(|one| match one.size == large.size {
            true => format!(
                "bitlake {:.2}, DuckDB {:.2}, transform {:.2}",
                exponent(&|one| one.sum().bitlake),
                exponent(&|one| one.sum().duckdb),
                exponent(&|one| one.whole.cost.wall)
            ),
            false => String::new(),
        });
        table.row(
            &format!("exponent from {} to {}", small.size, large.size),
            cells,
        );
    }
    table.to_string()
}

/// Return the steps of one size as a Markdown table, the slowest first.
fn by_step(figures: &Figures) -> String {
    let mut order: Vec<_> = figures.iter().collect();
    order.sort_by(|(_, a), (_, b)| b.bitlake.total_cmp(&a.bitlake));
    let mut table = tables::Table::new("step", ["bitlake", "DuckDB", "ratio"].map(str::to_owned));
    let cells = |figure: &Figure| {
        [
            format!("{:.3} s", figure.bitlake),
            format!("{:.3} s", figure.duckdb),
            format!("{:.1}", figure.ratio()),
        ]
    };
    for (name, figure) in order {
        table.row(name, cells(figure));
    }
    table.row("**all SQL steps**", cells(&figures::sum(figures)));
    table.to_string()
}

/// Return the file of the kept figures.
fn kept() -> PathBuf {
    let file = format!("benches/figures/transform-{}.tsv", profile());
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Measure the steps and compare them with the kept figures; a step that has become slow is measured again.
async fn check(args: &BenchArgs) -> ExitCode {
    let text = std::fs::read_to_string(kept()).expect("figures, which --update writes");
    let kept = figures::read(&text).expect("figures as --update writes them");
    let bench = BenchLake::new(KEPT).await;
    bench.publish_source().await;
    let mut measured = bench.compare(args).await.figures;
    // The shorter time of every step counts, so that only noise goes away.
    for _ in 0..AGAIN {
        if figures::slowed(&kept, &measured).is_empty() {
            break;
        }
        eprintln!("some steps have become slow: measuring again");
        let again = bench.compare(args).await.figures;
        figures::keep_shorter(&mut measured, &again);
    }
    print!("{}", by_step(&measured));
    let slow = figures::slowed(&kept, &measured);
    if slow.is_empty() {
        println!("no step has become slow");
        return ExitCode::SUCCESS;
    }
    for line in slow {
        eprintln!("slow: {line}");
    }
    eprintln!(
        "if that is intended, write the figures anew: cargo bench --profile dev --bench transform -- --update"
    );
    ExitCode::FAILURE
}

async fn update(args: &BenchArgs) {
    let bench = BenchLake::new(KEPT).await;
    bench.publish_source().await;
    let comparison = bench.compare(args).await;
    let comments = [
        format!(
            "cargo bench --profile {} --bench transform -- --update",
            profile()
        ),
        format!("{KEPT}: {}", machine()),
    ];
    std::fs::write(kept(), figures::write(&comments, &comparison.figures)).unwrap();
    print!("{}", by_step(&comparison.figures));
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [child, lake, folder, memory_limit] = args.as_slice()
        && child == STEPS
    {
        let (lake, folder) = (Path::new(lake), Path::new(folder));
        let memory_limit = memory_limit.parse().unwrap();
        runtime.block_on(run_steps(lake, folder, memory_limit));
        return ExitCode::SUCCESS;
    }
    let args = BenchArgs::parse(&args);
    if args.check {
        return runtime.block_on(check(&args));
    }
    if args.update {
        runtime.block_on(update(&args));
        return ExitCode::SUCCESS;
    }
    let mut all = Vec::new();
    for size in &args.sizes {
        let figures = runtime.block_on(measure(*size, &args));
        println!("{size}\n\n{}", by_step(&figures.comparison.figures));
        all.push(figures);
    }
    let text = format!(
        "Measured with {}; memory limit {} MiB.\n\n{}",
        machine(),
        args.memory,
        totals(&all)
    );
    println!("{text}");
    if args.docs {
        docs::replace("transform", &text);
    }
    ExitCode::SUCCESS
}
