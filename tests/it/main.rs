//! Tests that span several rooms, in one binary: each further executable that links the engine costs seconds.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may panic and read the clock, and its helpers are public to the other files"
)]

mod answers;
mod bench_figures;
mod check;
mod cli;
mod cluster;
mod collect;
mod configuration;
mod contracts;
mod conventions;
mod coverage;
mod damaged;
mod dbt;
mod demo;
mod docs;
mod engines;
mod extremes;
mod failures;
mod faulty;
mod former_lake;
mod fuzz;
mod git;
mod graph;
mod history;
mod homes;
mod identity;
mod incremental;
mod kept;
mod killed;
mod lake;
mod lake_crashes;
mod lake_publish;
mod lake_runs;
mod lake_stores;
mod layout;
mod lineage;
mod loading;
mod memory;
mod native;
mod npm;
mod outside;
mod outside_values;
mod parts;
mod portable;
mod program;
mod python;
mod queries;
mod quirks;
mod quota;
mod readers;
mod recipes;
mod report;
mod schedule;
mod schemas;
mod secrets;
mod steps_alone;
mod stores;
mod support;
mod terminal;
mod textfile;
mod venv;
mod wide;
mod world;
