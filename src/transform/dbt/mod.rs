//! Writes the SQL steps as a dbt project, which computes the tables in an engine that has loaded the lake.
//!
//! ```text
//! steps in dependency order ─▶ plan.rs: models, and sources with the reason ─▶ files.rs: SQL, YAML, README
//! ```
//!
//! A step becomes a model unless it is native, an outside table replaces it, the dialect lacks a construct of its SQL, or
//! it reads a `base` table that is not a model. Models read all other tables from the loaded lake. A model's name is
//! `<layer>_<table>`, because dbt's names are unique in a project; its table has the schema and name of the lake's table.

mod files;
mod plan;

use std::collections::{BTreeMap, BTreeSet};

/// A dbt project.
#[derive(Debug)]
pub struct DbtProject {
    /// The text of each file by its path, with `/`.
    pub files: BTreeMap<String, String>,
    /// The names of the models (`layer.table`).
    pub models: BTreeSet<String>,
    /// Why each other step is not a model, by its table (`layer.table`).
    pub not_models: BTreeMap<String, String>,
}

/// The first line of each written file, after the start of a comment.
pub const DBT_MARK: &str = "Written by `bitlake steps --export dbt`.";
