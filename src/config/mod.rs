//! `bitlake.toml` and the environment as one typed, checked value, so that everything behind it can trust what it
//! reads: a mistake is found before the first request, and named with its line.
//!
//! ```text
//! bitlake.toml ─┐
//! BITLAKE__… ───┼─▶ document ─▶ section ─┬─ lake ─ connection ─ rules ─ project ─┬─▶ Config ──assign──▶ Assigned
//! flags ────────┘  (with lines) (typed)  └─ since ─ outside ────────────────────┘              ▲
//!                                                                     what discovery found ────┘
//! ```
//!
//! Credentials are not read here: a [`SecretSource`] says where one will be found.

mod assign;
mod connection;
mod credentials;
mod cron;
mod document;
mod expiry;
mod git;
mod keys;
mod lake;
mod layout;
mod load;
mod outside;
mod patterns;
mod place;
mod project;
mod rules;
mod section;
mod since;
pub mod suggest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use assign::{Assigned, Found};
pub use connection::{Auth, Connection};
pub use credentials::SecretSource;
pub use cron::Cron;
pub use expiry::Expiry;
pub use git::GitCommits;
pub use keys::{Key, KeyTable, REFERENCE};
pub use lake::LakeConfig;
pub use layout::{Cut, Layout, TableLayout};
pub use outside::{Format, Org, OutsideTable};
pub use patterns::Pattern;
pub use place::Place;
pub use project::{Project, Selection};
pub(crate) use rules::groups;
pub use rules::{CommitsDiffs, Deployments, EntityGroup, Rules, Steps, Tags};
pub use since::{Since, Sync};

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub path: PathBuf,
    pub lake: LakeConfig,
    /// Empty for a lake that is only transformed.
    pub connections: Vec<Connection>,
    pub repositories: Vec<Selection>,
    pub projects: Vec<Project>,
    /// By name; `default` is always there.
    pub rules: BTreeMap<String, Rules>,
    pub sync: Sync,
    pub tables: Vec<OutsideTable>,
    pub org: Org,
}
