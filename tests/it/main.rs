//! Everything that needs more than one room, in one binary: each test executable that links the engine costs seconds.

mod cli;
mod collect;
mod demo;
mod engines;
mod failures;
mod faulty;
mod graph;
mod identity;
mod lake;
mod lake_crashes;
mod lake_publish;
mod lake_runs;
mod lake_stores;
mod layout;
mod native;
mod outside;
mod portable;
mod quirks;
mod sql;
mod steps_alone;
mod stores;
mod support;
