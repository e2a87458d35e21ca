//! The configuration: `bitlake.toml` and the environment as one typed [`Config`], checked completely when a command
//! starts.
//!
//! A mistake is reported with its line before the first request, instead of hours later.
//!
//! ```text
//! bitlake.toml ─┐
//! BITLAKE__… ───┼─▶ document ─▶ section ─┬─ lake ─ connection ─ rules ─ project ─┬─▶ Config ──assign──▶ AssignedRepository
//! flags ────────┘  (with lines) (typed)  └─ since ─ outside ────────────────────┘              ▲
//!                                                                    discovered repositories ──┘
//! ```
//!
//! Loading reads no credentials: a [`SecretSource`] says where one is read from.

mod assign;
mod cluster;
mod connection;
mod credentials;
mod cron;
mod document;
mod expiry;
mod git;
mod json_schema;
mod key_types;
mod keys;
mod lake;
mod layout;
mod load;
mod outside;
mod paths;
mod patterns;
mod place;
mod project;
mod report;
mod rules;
mod section;
mod since;
mod store;
#[cfg(test)]
mod tests;

pub use assign::{AssignedRepository, RepositoryIdentity};
pub use cluster::{ClusterConfig, worker_url};
pub use connection::{Auth, AuthKind, Connection};
pub use credentials::SecretSource;
pub use cron::Cron;
pub use expiry::CredentialExpiry;
pub use git::GitCommits;
pub use json_schema::json_schema;
pub use key_types::{ConfigKey, KeyDefault, KeyTable, KeyValues, TableRule};
pub use keys::REFERENCE;
pub use lake::LakeConfig;
pub use layout::{FileLayout, PartitionUnit, TableLayout};
pub use load::Config;
pub use outside::{OrgFiles, OutsideFormat, OutsideTable};
pub use patterns::RepositoryPattern;
pub use place::ConfigPlace;
pub use project::{Project, RepositorySelection};
pub(crate) use rules::capture_groups;
pub use rules::{CommitsDiffs, Deployments, EntityGroup, RuleSet, StepsRule, TagRules};
pub use since::{Since, SyncSettings};
pub use store::{ADDRESSES, AddressUse, RefusedPart, StoreKind};
