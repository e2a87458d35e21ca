//! The benchmark of the steps fails when a step becomes slow, and not for noise.

#[path = "../../benches/support/figures.rs"]
mod figures;

use figures::{Figure, Figures, keep_shorter, read, slowed, write};

fn figures(rows: &[(&str, f64, f64)]) -> Figures {
    let figure = |(table, bitlake, duckdb): &(&str, f64, f64)| {
        let (bitlake, duckdb) = (*bitlake, *duckdb);
        ((*table).to_owned(), Figure { bitlake, duckdb })
    };
    rows.iter().map(figure).collect()
}

#[test]
fn a_step_whose_ratio_to_duckdb_doubled_is_named() {
    let kept = figures(&[("domain.a", 1.0, 0.1), ("domain.b", 1.0, 0.1)]);
    let lines = slowed(
        &kept,
        &figures(&[("domain.a", 2.1, 0.1), ("domain.b", 1.0, 0.1)]),
    );
    assert_eq!(
        lines,
        ["domain.a: 2.100 s, DuckDB 0.100 s: 21.0 times as long, 10.0 times as kept"]
    );
}

#[test]
fn a_machine_of_half_the_speed_fails_nothing() {
    let kept = figures(&[("domain.a", 1.0, 0.1), ("domain.b", 0.05, 0.004)]);
    let slow = figures(&[("domain.a", 3.0, 0.2), ("domain.b", 0.2, 0.01)]);
    assert_eq!(slowed(&kept, &slow), [""; 0]);
}

#[test]
fn a_short_step_fails_only_when_it_becomes_a_long_one() {
    let kept = figures(&[("domain.a", 0.02, 0.01), ("domain.b", 1.0, 0.1)]);
    let noise = figures(&[("domain.a", 0.09, 0.01), ("domain.b", 1.0, 0.1)]);
    assert_eq!(slowed(&kept, &noise), [""; 0]);
    let slow = figures(&[("domain.a", 0.30, 0.01), ("domain.b", 1.0, 0.1)]);
    assert_eq!(slowed(&kept, &slow).len(), 1);
}

#[test]
fn many_short_steps_that_all_double_fail_together() {
    let names: Vec<_> = (0..50).map(|n| format!("domain.t{n}")).collect();
    let of = |bitlake| -> Figures {
        let rows: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), bitlake, 0.01))
            .collect();
        figures(&rows)
    };
    let lines = slowed(&of(0.03), &of(0.07));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("all steps: "), "{lines:?}");
}

#[test]
fn new_steps_and_removed_ones_are_not_judged() {
    let kept = figures(&[("domain.a", 1.0, 0.1), ("domain.gone", 1.0, 0.1)]);
    let measured = figures(&[("domain.a", 1.0, 0.1), ("domain.new", 9.0, 0.1)]);
    assert_eq!(slowed(&kept, &measured), [""; 0]);
}

#[test]
fn the_shortest_time_of_each_step_counts_and_is_kept() {
    let mut known = figures(&[("domain.a", 1.0, 0.2)]);
    keep_shorter(
        &mut known,
        &figures(&[("domain.a", 2.0, 0.1), ("domain.b", 3.0, 0.3)]),
    );
    let shortest = figures(&[("domain.a", 1.0, 0.1), ("domain.b", 3.0, 0.3)]);
    assert_eq!(known, shortest);
    let text = write(&["a comment".to_owned()], &known);
    assert_eq!(read(&text), Some(shortest));
}

#[test]
fn the_kept_figures_can_be_read() {
    let kept = read(include_str!("../../benches/figures/transform-dev.tsv")).unwrap();
    assert!(kept.len() > 50, "{}", kept.len());
    assert!(kept.values().all(|figure| figure.ratio().is_finite()));
}
