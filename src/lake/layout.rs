//! The paths of the lake's files.
//!
//! ```text
//! <layer>/<table>/[<key>=<value>/…]part-0.parquet     data: one file per partition
//! _bitlake/…                                          files that only bitlake reads
//! ```

use std::fmt::Write;

use chrono::{DateTime, NaiveDateTime, Utc};
use object_store::path::Path as ObjectPath;

use crate::digest::sha256_hex;
use crate::schema::Contract;

/// The version of manifest and state objects that this version of bitlake reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// The folder of bitlake's own files. Loaders may glob everything outside it.
pub const PRIVATE: &str = "_bitlake";
/// The lock of a run on local disk.
pub const LOCK: &str = "_bitlake/lock";
/// The lock on local disk while an object is compared and put.
pub const OBJECTS_LOCK: &str = "_bitlake/objects.lock";
/// The manifest.
pub const MANIFEST: &str = "_bitlake/manifest.json";
/// The folder of repositories' states.
pub const STATE: &str = "_bitlake/state";
/// The folder of the manifests of former publishes.
pub const MANIFESTS: &str = "_bitlake/manifests";
/// The folder of files being written on local disk, before they are renamed.
pub const INCOMING: &str = "_bitlake/incoming";
/// The folder of the objects that a probe puts and removes.
pub const PROBES: &str = "_bitlake/probe";
/// The result of the last probe of the store.
pub const STORE: &str = "_bitlake/store.json";
/// The folder of segments.
pub const SEGMENTS: &str = "_bitlake/segments";
/// The requests that the next run will send, as `bitlake plan` estimated last.
pub const PLAN: &str = "_bitlake/plan.json";
/// The findings of the checks, with what they were found in.
pub const CHECKS: &str = "_bitlake/checks.json";
/// What the stored base tables were made from.
pub const BASES: &str = "_bitlake/base.json";
/// The folder of stored base tables.
pub const BASE: &str = "_bitlake/base";
/// The folder of files that a run stages for its workers.
pub const STAGING: &str = "_bitlake/staging";
/// The name of a file of random text in the folder of a run in [`STAGING`].
const LAKE_CHECK: &str = "lake-check";
/// The folder of run reports.
pub const RUNS: &str = "_bitlake/runs";
/// The folder of the requests that each identity has spent in the last hour.
const BUDGETS: &str = "_bitlake/budget";

/// The value of the partition key for null, as Hive spells it.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Return the path of a partition's file. `partition` is the value of the contract's partition key, `None` for null; it is
/// ignored for a table without partitions.
#[must_use]
pub fn table_file(contract: &Contract, partition: Option<&str>) -> String {
    let Contract { layer, table, .. } = contract;
    match &contract.partition {
        None => format!("{layer}/{table}/part-0.parquet"),
        Some(by) => {
            let value = partition.map_or(NULL_PARTITION.to_owned(), encode);
            format!("{layer}/{table}/{}={value}/part-0.parquet", by.key)
        }
    }
}

/// Return the file of a stored base table (`base.table`), which is named for its content.
#[must_use]
pub fn base_file(name: &str, sha256: &str) -> String {
    let content = sha256.get(..16).unwrap_or(sha256);
    format!("{BASE}/{}-{content}.parquet", encode(name))
}

/// Return the file below [`INCOMING`] in which the next content of a file is written. Files are put at the same time.
pub(super) fn incoming_file(path: &str) -> String {
    format!("{INCOMING}/{}", sha256_hex(path))
}

/// Return the folder of a file's table: `layer/table`.
#[must_use]
pub fn table_folder(path: &str) -> &str {
    let end = path.match_indices('/').nth(1).map(|(at, _)| at);
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// Return the partition keys in a file's path. Files of one table with different keys come from different partitionings.
#[must_use]
pub fn partition_keys(path: &str) -> Vec<&str> {
    let folders = path.split('/');
    folders
        .filter_map(|folder| Some(folder.split_once('=')?.0))
        .collect()
}

/// Return the file of a source table for a repository (`acme/web`) or a workspace (`acme`).
#[must_use]
pub fn source_file(entity: &str, connection_id: i64, full_name: &str) -> String {
    let folder = format!("bitbucket/{entity}/connection={connection_id}");
    match full_name.split_once('/') {
        Some((workspace, slug)) => {
            format!(
                "{folder}/workspace_slug={}/repo={}/part-0.parquet",
                encode(workspace),
                encode(slug)
            )
        }
        None => format!(
            "{folder}/workspace_slug={}/part-0.parquet",
            encode(full_name)
        ),
    }
}

/// Return the zero-row file of a source table that no repository has rows of.
#[must_use]
pub fn empty_source_file(entity: &str) -> String {
    format!("bitbucket/{entity}/part-0.parquet")
}

/// Return the state of a repository or workspace.
#[must_use]
pub fn state_file(connection_id: i64, uuid: &str) -> String {
    format!("{STATE}/{connection_id}/{}.json", plain_uuid(uuid))
}

/// Return the path of a segment. `first`: the sequence number of its first record.
#[must_use]
pub fn segment_file(
    connection_id: i64,
    uuid: &str,
    entity: &str,
    run_id: &str,
    first: u64,
) -> String {
    let folder = segments_folder(connection_id, uuid);
    format!("{folder}{entity}/{run_id}-{first}.parquet")
}

/// Return the folder of a repository's segments, with a slash at the end.
pub(super) fn segments_folder(connection_id: i64, uuid: &str) -> String {
    format!("{SEGMENTS}/{connection_id}/{}/", plain_uuid(uuid))
}

/// Return the state of the repository that a segment belongs to.
pub(super) fn state_of_segment(segment: &str) -> Option<String> {
    let mut parts = segment.strip_prefix(SEGMENTS)?.split('/').skip(1);
    Some(format!("{STATE}/{}/{}.json", parts.next()?, parts.next()?))
}

/// Whether an untrusted path is below `folder` (which ends in a slash): it has no `..`, no empty name, and is relative.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    let parsed = ObjectPath::parse(path);
    path.starts_with(folder) && parsed.is_ok_and(|parsed| parsed.as_ref() == path)
}

/// Return the start of the run that a segment, run report or manifest is named after; `None` for another name.
#[must_use]
pub fn run_started_at(path: &str) -> Option<DateTime<Utc>> {
    let name = path.rsplit('/').next()?;
    let time = name.get(.."20261124T193558Z".len())?;
    let time = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?;
    Some(time.and_utc())
}

/// Return the report of a run.
#[must_use]
pub fn run_file(run_id: &str) -> String {
    format!("{RUNS}/{run_id}.json")
}

/// Return the request budget of an identity. `shard`: the number of the shard and the count of shards.
#[must_use]
pub fn budget_file(identity: &str, shard: Option<(u32, u32)>) -> String {
    let identity = encode(identity);
    match shard {
        None => format!("{BUDGETS}/{identity}.json"),
        Some((number, of)) => format!("{BUDGETS}/{identity}.shard-{number}-of-{of}.json"),
    }
}

/// Return the hint for a damaged object.
pub(crate) fn repair_hint(path: &str) -> String {
    if path == MANIFEST {
        format!("put the newest file of {MANIFESTS}/ in its place, then run again")
    } else if path.starts_with(STATE) {
        "restore it, or remove it: its repository is then collected anew".to_owned()
    } else if path.starts_with(BUDGETS) {
        "remove it: the requests of the last hour are then not known, and Bitbucket may refuse some"
            .to_owned()
    } else {
        "restore or remove it".to_owned()
    }
}

/// Return the folder of the files that a run stages for its workers.
#[must_use]
pub(super) fn staged_folder(run_id: &str) -> String {
    format!("{STAGING}/{run_id}")
}

/// Return the file by which a run finds whether its workers see the same lake.
#[must_use]
pub(super) fn lake_check_file(run_id: &str) -> String {
    format!("{}/{LAKE_CHECK}", staged_folder(run_id))
}

/// Return whether the path of an object ends as that of a file of [`lake_check_file`].
#[must_use]
pub(crate) fn is_lake_check(object: &ObjectPath) -> bool {
    let path = object.as_ref();
    path.strip_suffix(LAKE_CHECK)
        .and_then(|path| path.strip_suffix('/'))
        .and_then(|path| path.rsplit_once('/'))
        .is_some_and(|(folder, run)| {
            let folder = folder.strip_suffix(STAGING);
            !run.is_empty() && folder.is_some_and(|it| it.is_empty() || it.ends_with('/'))
        })
}

/// Return a file that a run stages for its workers.
#[must_use]
pub(super) fn staged_file(run_id: &str, number: u64) -> String {
    format!("{}/{number}.parquet", staged_folder(run_id))
}

/// Return the kept manifest of a publish.
#[must_use]
pub fn manifest_file(run_id: &str) -> String {
    format!("{MANIFESTS}/{run_id}.json")
}

/// Strip Bitbucket's braces, which shells and globs would expand, from a uuid.
fn plain_uuid(uuid: &str) -> String {
    encode(uuid.trim_matches(['{', '}']))
}

/// Longest encoded value, in bytes: file systems allow names of 255 bytes, and the partition key precedes the value.
const MAX_ENCODED: usize = 200;
/// Hexadecimal digits of the digest in a shortened value.
const DIGEST_DIGITS: usize = 16;

/// Encode a value as a folder name. Every byte other than letters, digits, `-`, `_` and `.` is percent-encoded, so that no
/// value leaves its folder. The end of a long value is replaced by a digest; the whole value is a column of the file.
fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if plain {
            encoded.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    if encoded.len() > MAX_ENCODED {
        encoded.truncate(MAX_ENCODED - 1 - DIGEST_DIGITS);
        // Do not cut within a percent-encoded byte.
        if let Some(at) = encoded.rfind('%').filter(|at| at + 3 > encoded.len()) {
            encoded.truncate(at);
        }
        encoded.push('~');
        encoded.extend(sha256_hex(value).chars().take(DIGEST_DIGITS));
    }
    match encoded.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => encoded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_a_stable_folder() {
        assert_eq!(
            source_file("commits", 1, "acme/web"),
            "bitbucket/commits/connection=1/workspace_slug=acme/repo=web/part-0.parquet"
        );
        assert_eq!(
            source_file("workspace_members", 1, "acme"),
            "bitbucket/workspace_members/connection=1/workspace_slug=acme/part-0.parquet"
        );
    }

    #[test]
    fn a_path_shows_its_table_and_partition_keys() {
        let web = source_file("commits", 1, "acme/web");
        assert_eq!(table_folder(&web), "bitbucket/commits");
        assert_eq!(
            partition_keys(&web),
            ["connection", "workspace_slug", "repo"]
        );
        assert!(partition_keys(&empty_source_file("commits")).is_empty());
    }

    #[test]
    fn an_encoded_name_never_leaves_its_folder() {
        for name in ["..", ".", "a/../b", "ü=%", "a b"] {
            let encoded = encode(name);
            assert!(
                !encoded.contains('/') && encoded != ".." && encoded != ".",
                "{encoded}"
            );
        }
    }

    #[test]
    fn a_long_name_is_shortened_and_remains_unique() {
        let long = "ä".repeat(127);
        let (one, other) = (encode(&format!("{long}a")), encode(&format!("{long}b")));
        assert!(one != other && one.len() <= MAX_ENCODED, "{one}");
        let cut = one.split_once('~').unwrap().0;
        assert!(
            cut.len() % 3 == 0 && cut.ends_with("%C3") || cut.ends_with("%A4"),
            "{cut}"
        );
        let longest = "a".repeat(MAX_ENCODED);
        assert_eq!(encode(&longest), longest);
    }

    #[test]
    fn a_segments_name_has_the_start_of_its_run() {
        let path = segment_file(1, "{web}", "commits", "20261124T193558Z-0a1b2c", 700);
        let time = run_started_at(&path).unwrap();
        assert_eq!(time.to_rfc3339(), "2026-11-24T19:35:58+00:00");
        assert_eq!(run_started_at("run-1.parquet"), None);
    }

    #[test]
    fn an_untrusted_path_is_below_its_folder_or_refused() {
        let folder = segments_folder(1, "{web}");
        let own = segment_file(1, "{web}", "commits", "run", 0);
        assert!(is_below(&own, &folder));
        assert_eq!(state_of_segment(&own).unwrap(), state_file(1, "{web}"));
        for hostile in [
            "/etc/passwd",
            "../other/_bitlake/segments/1/web/x",
            "_bitlake/segments/1/web/../../../manifest.json",
            "_bitlake/segments/1/web//x",
            "_bitlake/segments/1/web",
            "_bitlake/segments/1/website/x",
            "_bitlake/segments/2/web/x",
            "bitbucket/commits/part-0.parquet",
        ] {
            assert!(!is_below(hostile, &folder), "{hostile}");
        }
    }

    #[test]
    fn a_budget_is_named_by_identity_and_shard() {
        let user = "api-token-ci@acme.example";
        assert_eq!(
            budget_file(user, None),
            "_bitlake/budget/api-token-ci%40acme.example.json"
        );
        assert_eq!(
            budget_file("anonymous", Some((2, 4))),
            "_bitlake/budget/anonymous.shard-2-of-4.json"
        );
    }

    #[test]
    fn a_state_is_named_by_the_uuid_without_braces() {
        assert_eq!(state_file(2, "{ab-1}"), "_bitlake/state/2/ab-1.json");
    }
}
