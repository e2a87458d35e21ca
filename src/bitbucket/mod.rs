//! A read-only client of Bitbucket Cloud's REST API 2.0.
//!
//! The deviations of the API are handled in this module, so that collectors name a list and receive records:
//! [`endpoints`] describes what each list supports, [`Client`] sends requests with retries and rate limits, [`Pages`] reads
//! a list page by page.
//!
//! ```text
//! client.list(&endpoints::PULL_REQUESTS, target).with_filter(…)
//!   └─ pages.next() ─▶ NextPage::Page | NextPage::End | NextPage::Unavailable (first page: 403, 404, 410)
//! ```
//!
//! How the client handles each response:
//!
//! | response | handling | file |
//! |---|---|---|
//! | 429 | all requests of the identity are blocked, then one probes | `circuit_breaker.rs`, `budgets.rs` |
//! | 408, 425, 5xx, failed connection, truncated JSON | retry with exponential backoff | `fetch.rs`, `retry.rs` |
//! | 555, JSON of an unexpected shape | one retry | `fetch.rs` |
//! | 401 | renew an OAuth token | `fetch.rs`, `auth.rs` |
//! | 403 that names a scope | recorded: other lists that need the scope are not requested | `scopes.rs` |
//! | 400, overload | request less: a smaller page, no sort, no fields | `pages/query.rs` |
//! | 403, 404, 410 on a first page | the list is unavailable | `unavailable.rs` |
//! | foreign or repeated `next`, endless list | error | `pages/guard.rs`, `pages/cursor.rs` |
//! | too large | error before it is in memory | `transport.rs` |

mod auth;
mod budget_record;
mod budgets;
mod circuit_breaker;
mod client;
pub mod endpoints;
mod failures;
mod fetch;
pub mod git;
mod lookup;
mod network;
mod oauth;
mod options;
mod pages;
mod rate_limit;
mod rate_limiter;
mod refusal;
mod request;
mod retry;
mod scope_names;
mod scopes;
mod server_messages;
#[cfg(test)]
mod tests;
mod transport;
mod unavailable;
mod urls;

pub use budget_record::BudgetRecord;
pub use budgets::{BudgetStore, Budgets, HeadRoom};
pub use client::Client;
pub use endpoints::Endpoint;
pub use lookup::RecordLookup;
pub use options::{ClientOptions, Credentials, Token};
pub use pages::{NextPage, Page, Pages};
pub use request::ApiTarget;
pub use retry::Limits;
pub use scopes::MissingScope;
pub use unavailable::Unavailable;
