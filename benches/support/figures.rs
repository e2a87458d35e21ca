//! The kept figures of the steps, and whether a step has become slow beside them.
//!
//! A step is judged by its ratio to DuckDB, which ran on the same machine at the same time, so that figures of one machine
//! serve another.

use std::collections::BTreeMap;

/// A step fails when its ratio to DuckDB has grown by more than this factor,
const FACTOR: f64 = 2.0;
/// and costs by this many seconds more than the kept ratio allows: the time of a short step is mostly noise.
const SLACK: f64 = 0.25;
/// The name under which all steps together are judged.
const ALL: &str = "all steps";

/// The seconds that a step took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    pub(crate) bitlake: f64,
    pub(crate) duckdb: f64,
}

impl Figure {
    pub(crate) fn ratio(self) -> f64 {
        self.bitlake / self.duckdb
    }
}

/// The figures of all SQL steps, by table.
pub(crate) type Figures = BTreeMap<String, Figure>;

/// Return the sum of all figures.
pub(crate) fn sum(figures: &Figures) -> Figure {
    Figure {
        bitlake: figures.values().map(|figure| figure.bitlake).sum(),
        duckdb: figures.values().map(|figure| figure.duckdb).sum(),
    }
}

/// Keep the shorter time of each step.
pub(crate) fn keep_shorter(known: &mut Figures, other: &Figures) {
    for (table, other) in other {
        let figure = known.entry(table.clone()).or_insert(*other);
        figure.bitlake = figure.bitlake.min(other.bitlake);
        figure.duckdb = figure.duckdb.min(other.duckdb);
    }
}

/// Return a line for each step that has become slow. Steps without a kept figure are not judged.
pub(crate) fn slowed(kept: &Figures, measured: &Figures) -> Vec<String> {
    let both: Vec<_> = kept
        .keys()
        .filter(|table| measured.contains_key(*table))
        .collect();
    let of = |figures: &Figures| -> Figures {
        both.iter()
            .map(|table| ((*table).clone(), figures[*table]))
            .collect()
    };
    let (mut kept, mut measured) = (of(kept), of(measured));
    kept.insert(ALL.to_owned(), sum(&kept));
    measured.insert(ALL.to_owned(), sum(&measured));
    let mut lines = Vec::new();
    for (table, figure) in measured {
        let before = kept[&table].ratio();
        let allowed = before * figure.duckdb;
        if figure.bitlake > FACTOR * allowed && figure.bitlake > allowed + SLACK {
            lines.push(format!(
                "{table}: {:.3} s, DuckDB {:.3} s: {:.1} times as long, {before:.1} times as kept",
                figure.bitlake,
                figure.duckdb,
                figure.ratio(),
            ));
        }
    }
    lines
}

/// Write figures as tab-separated text below comment lines.
pub(crate) fn write(comments: &[String], figures: &Figures) -> String {
    let mut text: String = comments.iter().map(|line| format!("# {line}\n")).collect();
    text.push_str("table\tbitlake_s\tduckdb_s\n");
    for (table, figure) in figures {
        text.push_str(&format!(
            "{table}\t{:.4}\t{:.4}\n",
            figure.bitlake, figure.duckdb
        ));
    }
    text
}

/// Read what [`write`] wrote; `None` for anything else.
pub(crate) fn read(text: &str) -> Option<Figures> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.skip(1).map(|line| {
        let mut cells = line.split('\t');
        let table = cells.next()?.to_owned();
        let bitlake = cells.next()?.parse().ok()?;
        let duckdb = cells.next()?.parse().ok()?;
        Some((table, Figure { bitlake, duckdb }))
    });
    rows.collect()
}
