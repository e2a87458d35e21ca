//! Every path of the lake, in one place.

use chrono::{DateTime, NaiveDateTime, Utc};
use object_store::path::Path as ObjectPath;
use sha2::{Digest, Sha256};

use crate::schema::Contract;

/// Everything below this folder is bitlake's own; loaders may glob all the rest.
pub const PRIVATE: &str = "_bitlake";
pub const LOCK: &str = "_bitlake/lock";
/// Held on local disk while an object is compared and put.
pub const OBJECTS_LOCK: &str = "_bitlake/objects.lock";
pub const MANIFEST: &str = "_bitlake/manifest.json";
pub const STATE: &str = "_bitlake/state";
/// A copy of each publish's manifest.
pub const MANIFESTS: &str = "_bitlake/manifests";
/// Where a file grows on local disk before it is moved to its place.
pub const INCOMING: &str = "_bitlake/incoming";
/// What is put and removed to see what a store does.
pub const PROBES: &str = "_bitlake/probe";
/// What is known of the store that the lake lies on.
pub const STORE: &str = "_bitlake/store.json";
pub const SEGMENTS: &str = "_bitlake/segments";
/// What the next run asks for, as `plan` said last.
pub const PLAN: &str = "_bitlake/plan.json";
pub const RUNS: &str = "_bitlake/runs";
/// What each identity has spent of its hour.
const BUDGETS: &str = "_bitlake/budget";

/// The folder that stands for a null partition, as Hive names it.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The one file of a partition. `partition` is the value of the contract's partition key, `None` for null;
/// ignored without a partition.
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

/// `layer/table` of a file.
pub fn table_folder(path: &str) -> &str {
    let end = path
        .match_indices('/')
        .nth(1)
        .map_or(path.len(), |(at, _)| at);
    &path[..end]
}

/// The keys that a file's folders are named by: two files of one table that differ in them were cut otherwise.
pub fn keys(path: &str) -> Vec<&str> {
    let folders = path.split('/');
    folders
        .filter_map(|folder| Some(folder.split_once('=')?.0))
        .collect()
}

/// The one file of an entity of a repository (`acme/web`) or of a workspace (`acme`).
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

/// Where a source table stands as one zero-row file while no repository has any.
pub fn empty_source_file(entity: &str) -> String {
    format!("bitbucket/{entity}/part-0.parquet")
}

pub fn state_file(connection_id: i64, uuid: &str) -> String {
    format!("{STATE}/{connection_id}/{}.json", bare(uuid))
}

/// `first`: the sequence number of its first record.
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

/// Where the segments of a repository lie, with the slash at its end.
pub(super) fn segments_folder(connection_id: i64, uuid: &str) -> String {
    format!("{SEGMENTS}/{connection_id}/{}/", bare(uuid))
}

/// The state whose repository a segment belongs to.
pub(super) fn state_of_segment(segment: &str) -> Option<String> {
    let mut parts = segment.strip_prefix(SEGMENTS)?.split('/').skip(1);
    Some(format!("{STATE}/{}/{}.json", parts.next()?, parts.next()?))
}

/// Whether a path that was read from a file names something below `folder` (which ends in a slash), and nothing else:
/// no `..`, no absolute path, no empty name.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    let parsed = ObjectPath::parse(path);
    path.starts_with(folder) && parsed.is_ok_and(|parsed| parsed.as_ref() == path)
}

/// When the run began that a segment, report or manifest is named after; `None` for a name that no run gives.
pub fn run_started_at(segment: &str) -> Option<DateTime<Utc>> {
    let name = segment.rsplit('/').next()?;
    let time = name.get(.."20261124T193558Z".len())?;
    let time = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?;
    Some(time.and_utc())
}

pub fn run_file(run_id: &str) -> String {
    format!("{RUNS}/{run_id}.json")
}

/// `shard`: its number, and of how many.
pub fn budget_file(identity: &str, shard: Option<(u32, u32)>) -> String {
    let identity = encode(identity);
    match shard {
        None => format!("{BUDGETS}/{identity}.json"),
        Some((number, of)) => format!("{BUDGETS}/{identity}.shard-{number}-of-{of}.json"),
    }
}

/// What to do about a damaged object.
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

/// The kept manifest of a publish.
pub fn manifest_file(run_id: &str) -> String {
    format!("{MANIFESTS}/{run_id}.json")
}

/// A uuid without Bitbucket's braces, which shells and globs would expand.
fn bare(uuid: &str) -> String {
    encode(uuid.trim_matches(['{', '}']))
}

/// The longest encoded value: with its key before it, it has to fit into a file system's 255 bytes.
const LONGEST: usize = 200;
/// Bytes of a value's digest that tell it from others with the same beginning.
const TELLING: usize = 8;

/// A value as a folder name: what is not plain is percent-encoded, so that no name leaves its folder. One that gets too
/// long ends in its digest; the value itself is a column of the file.
fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if plain {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    if encoded.len() > LONGEST {
        let mut end = LONGEST - 1 - 2 * TELLING;
        // Not within a percent-encoded byte.
        end = encoded[..end]
            .rfind('%')
            .filter(|at| at + 3 > end)
            .unwrap_or(end);
        encoded.truncate(end);
        encoded.push('~');
        let digest = Sha256::digest(value);
        encoded.extend(
            digest
                .iter()
                .take(TELLING)
                .map(|byte| format!("{byte:02x}")),
        );
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
    fn a_path_tells_its_table_and_how_it_was_cut() {
        let web = source_file("commits", 1, "acme/web");
        assert_eq!(table_folder(&web), "bitbucket/commits");
        assert_eq!(keys(&web), ["connection", "workspace_slug", "repo"]);
        assert!(keys(&empty_source_file("commits")).is_empty());
    }

    #[test]
    fn hostile_names_stay_in_their_folder() {
        for name in ["..", ".", "a/../b", "ü=%", "a b"] {
            let encoded = encode(name);
            assert!(
                !encoded.contains('/') && encoded != ".." && encoded != ".",
                "{encoded}"
            );
        }
    }

    #[test]
    fn a_long_name_is_shortened_and_stays_itself() {
        let long = "ä".repeat(127);
        let (one, other) = (encode(&format!("{long}a")), encode(&format!("{long}b")));
        assert!(one != other && one.len() <= LONGEST, "{one}");
        let cut = one.split_once('~').unwrap().0;
        assert!(
            cut.len() % 3 == 0 && cut.ends_with("%C3") || cut.ends_with("%A4"),
            "{cut}"
        );
        let longest = "a".repeat(LONGEST);
        assert_eq!(encode(&longest), longest);
    }

    #[test]
    fn a_segment_tells_when_its_run_began() {
        let path = segment_file(1, "{web}", "commits", "20261124T193558Z-0a1b2c", 700);
        let time = run_started_at(&path).unwrap();
        assert_eq!(time.to_rfc3339(), "2026-11-24T19:35:58+00:00");
        assert_eq!(run_started_at("run-1.parquet"), None);
    }

    #[test]
    fn a_path_read_from_a_file_stays_below_its_folder() {
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
    fn budgets_are_kept_by_identity_and_shard() {
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
    fn state_is_keyed_by_the_uuid_without_braces() {
        assert_eq!(state_file(2, "{ab-1}"), "_bitlake/state/2/ab-1.json");
    }
}
