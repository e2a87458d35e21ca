//! Bitbucket Cloud's REST API 2.0, read-only.
//!
//! Everything that is odd about this API is handled in this room, so that collectors only say which list they want
//! and see records arrive: [`endpoints`] says what each list can do, [`Client`] sends, waits and retries,
//! [`Pages`] walks.
//!
//! ```text
//! client.list(&endpoints::PULL_REQUESTS, target).with_filter(…)
//!   └─ pages.next() ─▶ NextPage::Page | NextPage::End | NextPage::Unavailable (first page: 403, 404, 410)
//! ```
//!
//! What is done about an answer, and where:
//!
//! | answer | done | where |
//! |---|---|---|
//! | 429 | everybody of the identity waits, then one tries | `gate.rs`, `budgets.rs` |
//! | 408, 425, 5xx, lost connections, broken JSON | asked again, with growing waits | `client.rs`, `retry.rs` |
//! | 555, JSON of another shape | asked once more | `client.rs` |
//! | 401 | an OAuth token is renewed | `client.rs`, `auth.rs` |
//! | 403 that names a scope | remembered: others that need it are not asked | `scopes.rs` |
//! | 400, overload | asked for less: smaller page, no sort, no fields | `page.rs` |
//! | 403, 404, 410 on a first page | an absence | `page.rs` |
//! | foreign or repeated `next`, no end | an error | `page.rs` |
//! | too large | an error, before it is in memory | `client.rs` |

mod ask;
mod auth;
mod budgets;
mod circuit_breaker;
mod client;
pub mod endpoints;
mod failures;
pub mod git;
mod network;
mod oauth;
mod options;
mod page;
mod rate_limiter;
mod reply;
mod retry;
mod scopes;
#[cfg(test)]
mod tests;
mod transport;

pub use ask::ApiTarget;
pub use budgets::{BudgetStore, Budgets, HeadRoom};
pub use client::Client;
pub use endpoints::Endpoint;
pub use options::{ClientOptions, Credentials, Token};
pub use page::{NextPage, Page, Pages, RecordLookup, Unavailable};
pub use rate_limiter::BudgetRecord;
pub use retry::Limits;

use reqwest::Url;

/// Same scheme, host and port: the only place credentials go.
fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// A URL for people: without user, password and anything that looks like a token.
fn safe_url(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that cannot hold a user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url
        .query_pairs()
        .any(|(key, _)| key.contains("token") || key.contains("jwt"))
    {
        url.set_query(None);
    }
    url.to_string()
}
