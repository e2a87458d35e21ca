//! Mutated state, manifests and reports on the lake are read consistently or refused.

use std::collections::BTreeMap;

use bitlake::bitbucket::BudgetRecord;
use bitlake::lake::{Manifest, RepositoryState};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{mutate, mutations};

const STATE: &str = r#"{
  "format_version": 1, "connection_id": 1, "uuid": "{a}", "full_name": "acme/web", "collected_by": "20261130T000000Z-abcdef",
  "bitbucket_project": "CHK", "since": "2026-01-01T00:00:00Z", "since_setting": "6 months",
  "refs_as_of": "2026-11-29T00:00:00Z", "last_visit": {"on": "2026-11-29T00:00:00Z", "requests": 12, "quiet": false},
  "missing_since": "2026-11-29T00:00:00Z", "deleted": false,
  "entities": {"commits": {"status": "complete", "reason": "x", "complete_from": "2026-01-01T00:00:00Z",
    "complete_through": "2026-11-29T00:00:00Z", "sequence": 100, "heads": ["abc"], "queue": []}}
}"#;

const MANIFEST: &str = r#"{
  "format_version": 1, "writer": "0.1.0", "run_id": "20261130T000000Z-abcdef", "published_at": "2026-11-29T00:00:00Z", "epoch": 7,
  "intent": {"run_id": "20261130T000000Z-abcdef", "epoch": 8, "expires_at": "2026-11-29T00:10:00Z"},
  "tables": {"domain.repos": {"schema_version": 1, "rows": 2, "files": {"domain/repos/part-0.parquet":
    {"rows": 2, "bytes": 900, "sha256": "00", "bounds": {"id": ["a", "b"]}, "etag": "x"}}}}
}"#;

const BUDGET: &str = r#"{"minutes": {"2026-11-29T00:01:00Z": 10, "2026-11-29T00:02:00Z": 4294967295}, "open": 20,
  "limit": 1000, "closed_until": "2026-11-29T00:10:00Z"}"#;

/// A mutated file that is read is read as the same value again.
fn stable<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(text: &str) {
    let Ok(value) = serde_json::from_str::<T>(text) else {
        return;
    };
    let written = serde_json::to_string(&value).unwrap();
    let again: T = serde_json::from_str(&written).unwrap();
    assert_eq!(again, value);
}

#[test]
fn the_documents_are_some() {
    serde_json::from_str::<RepositoryState>(STATE).unwrap();
    serde_json::from_str::<Manifest>(MANIFEST).unwrap();
    serde_json::from_str::<BudgetRecord>(BUDGET).unwrap();
    stable::<BTreeMap<String, u64>>("{}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_bent_state_is_read_alike_or_refused(mutations in mutations()) {
        stable::<RepositoryState>(&mutate(STATE, &mutations));
    }

    #[test]
    fn a_bent_manifest_is_read_alike_or_refused(mutations in mutations()) {
        stable::<Manifest>(&mutate(MANIFEST, &mutations));
    }

    #[test]
    fn a_bent_budget_is_read_alike_or_refused(mutations in mutations()) {
        stable::<BudgetRecord>(&mutate(BUDGET, &mutations));
    }
}
