//! Everything that needs more than one room, in one binary: each test executable that links the engine costs seconds.

mod cli;
mod collect;
mod demo;
mod engines;
mod failures;
mod graph;
mod identity;
mod lake;
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
mod support;
