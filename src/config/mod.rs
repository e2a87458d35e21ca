//! `bitlake.toml` and the environment as one typed, checked value, so that everything behind it can trust what it
//! reads: a mistake is found before the first request, and named with its line.
//!
//! ```text
//! bitlake.toml ─┐
//! BITLAKE__… ───┼─▶ document ─▶ section ─┬─ lake ─ connection ─ rules ─ project ─┬─▶ Config ──assign──▶ AssignedRepository
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
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use assign::{AssignedRepository, RepositoryIdentity};
pub use connection::{Auth, Connection};
pub use credentials::SecretSource;
pub use cron::Cron;
pub use expiry::CredentialExpiry;
pub use git::GitCommits;
pub use keys::{ConfigKey, KeyTable, REFERENCE};
pub use lake::LakeConfig;
pub use layout::{FileLayout, PartitionUnit, TableLayout};
pub use outside::{OrgFiles, OutsideFormat, OutsideTable};
pub use patterns::RepositoryPattern;
pub use place::ConfigPlace;
pub use project::{Project, RepositorySelection};
pub(crate) use rules::capture_groups;
pub use rules::{CommitsDiffs, Deployments, EntityGroup, RuleSet, StepsRule, TagRules};
pub use since::{Since, SyncSettings};

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub path: PathBuf,
    pub lake: LakeConfig,
    /// Empty for a lake that is only transformed.
    pub connections: Vec<Connection>,
    pub repositories: Vec<RepositorySelection>,
    pub projects: Vec<Project>,
    /// By name; `default` is always there.
    pub rules: BTreeMap<String, RuleSet>,
    pub sync: SyncSettings,
    pub tables: Vec<OutsideTable>,
    pub org: OrgFiles,
}
