//! Conventions that the compiler does not check: one type per name, imports in the direction of the data, retired words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

/// The rooms of `src` and the rooms that each may use. `docs/src/architecture.md` explains them.
const ROOMS: [(&str, &[&str]); 11] = [
    ("schema", &["redaction"]),
    ("redaction", &[]),
    ("config", &["schema"]),
    ("bitbucket", &["config", "redaction"]),
    ("lake", &["schema", "config"]),
    ("cluster", &["lake"]),
    ("engine", &["cluster", "lake", "schema"]),
    (
        "collect",
        &["bitbucket", "lake", "schema", "config", "redaction"],
    ),
    (
        "transform",
        &["engine", "cluster", "lake", "schema", "config", "redaction"],
    ),
    ("report", &["transform", "engine", "lake"]),
    (
        "cli",
        &[
            "report",
            "collect",
            "transform",
            "engine",
            "cluster",
            "bitbucket",
            "lake",
            "schema",
            "config",
            "redaction",
        ],
    ),
];

/// Files of `src` that any room may use.
const SHARED: [&str; 13] = [
    "clock",
    "digest",
    "encoding",
    "error",
    "escape",
    "json",
    "memory",
    "plural",
    "progress",
    "scratch",
    "secret",
    "suggest",
    "telemetry",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Return the Rust files below `folder`, without those that hold tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "tests" {
            continue;
        }
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|it| it == "rs") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// Return a file's text up to its unit tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let end = text
        .find("\n#[cfg(test)]\nmod tests {")
        .unwrap_or(text.len());
    text[..end].to_owned()
}

fn all_sources() -> Vec<PathBuf> {
    let folders = [
        "src",
        "crates/bitlake-graph/src",
        "crates/bitlake-sandbox/src",
    ];
    let folders = folders.map(|folder| sources(&root().join(folder)));
    folders.into_iter().flatten().collect()
}

#[test]
fn a_type_has_one_name_in_the_repository() {
    let definition =
        Regex::new(r"(?m)^\s*(?:pub(?:\([a-z: ]+\))?\s+)?(?:struct|enum|trait|union)\s+(\w+)")
            .unwrap();
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in all_sources() {
        let place = path.strip_prefix(root()).unwrap().display().to_string();
        for found in definition.captures_iter(&code(&path)) {
            places
                .entry(found[1].to_owned())
                .or_default()
                .push(place.clone());
        }
    }
    assert!(places.len() > 200, "the search finds types");
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

#[test]
fn rooms_import_in_the_direction_of_the_data() {
    let import = Regex::new(r"\bcrate::(\w+)").unwrap();
    let mut wrong = BTreeSet::new();
    for (room, allowed) in ROOMS {
        let files = sources(&root().join("src").join(room));
        assert!(!files.is_empty(), "{room} has files");
        for path in files {
            for found in import.captures_iter(&code(&path)) {
                let used = &found[1];
                if used != room && !allowed.contains(&used) && !SHARED.contains(&used) {
                    let place = path.strip_prefix(root()).unwrap().display();
                    wrong.insert(format!("{place} uses {used}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Words that the glossary replaced. Persisted and published spellings keep them in string literals and in [`KEPT`].
const RETIRED: &str = r"(?ix)\b(
    ledger | pace | pacing | gate | ticket | remedy | patience | patiently | starved | estate | sheet | enqueue | queue[sd]?
    | border | bottom | walk(s|ed|ing)? | through | refresh(es|ed)? | deep | reconciled? | aim(s|ed)? | held | settled? | absent | absence
    | stays | rests | told | brought | carried | news | said | ended | overlap | whoever | nobody
    )\b";

/// Identifiers that users know from tables, options and reports.
const KEPT: &str = r"(?i)complete_through|full[_ ]refresh(ed)?|args\.deep|deep: bool|`absent`|refresh_token|--no-walk|--deep";

#[test]
fn retired_words_stand_in_no_source() {
    let retired = Regex::new(RETIRED).unwrap();
    let literal = Regex::new(r#""(?:[^"\\]|\\.)*""#).unwrap();
    let kept = Regex::new(KEPT).unwrap();
    let mut wrong = Vec::new();
    for path in all_sources() {
        for (n, line) in code(&path).lines().enumerate() {
            let text = literal.replace_all(line, "\"\"");
            let text = kept.replace_all(&text, "").replace('_', " ");
            if retired.is_match(&text) {
                let place = path.strip_prefix(root()).unwrap().display();
                wrong.push(format!("{place}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
