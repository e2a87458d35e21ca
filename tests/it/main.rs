//! Everything that needs more than one room, in one binary: each test executable that links the engine costs seconds.

mod cli;
mod collect;
mod contracts;
mod demo;
mod engines;
mod failures;
mod graph;
mod history;
mod identity;
mod incremental;
mod lake;
mod layout;
mod memory;
mod native;
mod outside;
mod portable;
mod quirks;
mod schemas;
mod sql;
mod steps_alone;
mod support;
mod wide;
mod world;
