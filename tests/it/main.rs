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
mod loading;
mod native;
mod outside;
mod portable;
mod python;
mod quirks;
mod readers;
mod sql;
mod steps_alone;
mod stores;
mod support;
