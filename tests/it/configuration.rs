//! Files with mistakes (`tests/configuration`): what bitlake says of each, and which of them an editor underlines by the JSON
//! Schema of `bitlake.toml`.
//!
//! ```text
//! --- schema                 who sees the mistake: editors too, or `bitlake` alone
//! BASE                       stands for a valid file of nine lines
//! [sync]
//! foo = 1
//! => unknown key `foo` …     the error; one that ends in `…` is the beginning of it
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use bitlake::config::{Config, json_schema};
use bitlake::error::ErrorKind;

use super::demo::{bitlake, text};
use super::{docs, npm};

/// The valid file that `BASE` stands for in a case.
const BASE: &str = include_str!("../../src/config/tests/base.toml");

struct FaultyFile {
    text: String,
    is_seen_by_schema: bool,
    error: String,
}

fn faulty_files() -> Vec<FaultyFile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configuration");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let cases = std::fs::read_to_string(&path).unwrap();
            files.extend(cases.split("\n--- ").skip(1).map(faulty_file));
        }
    }
    files
}

fn faulty_file(case: &str) -> FaultyFile {
    let (head, rest) = case.split_once('\n').unwrap();
    let (text, error) = rest.rsplit_once("=> ").unwrap();
    FaultyFile {
        text: text.replacen("BASE\n", BASE, 1),
        is_seen_by_schema: match head {
            "schema" => true,
            "bitlake" => false,
            head => panic!("{head} sees no mistakes:\n{case}"),
        },
        error: error.trim_end().to_owned(),
    }
}

#[test]
fn each_mistake_is_reported_with_its_line_and_what_to_do() {
    let mut wrong = Vec::new();
    let files = faulty_files();
    for file in &files {
        let parsed = Config::parse(&file.text, Path::new("bitlake.toml"), &BTreeMap::new(), &[]);
        let found = match parsed {
            Ok(_) => "no error".to_owned(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
                error.to_string()
            }
        };
        let is_expected = match file.error.strip_suffix('…') {
            Some(beginning) => found.starts_with(beginning),
            None => found == file.error,
        };
        if !is_expected {
            wrong.push(format!("{}=> {found}", file.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(files.len() > 100, "{} files were read", files.len());
}

/// Return the indexes of the files that taplo refuses by the schema.
fn refused_by_schema<'a>(files: impl Iterator<Item = &'a str>) -> Option<BTreeSet<usize>> {
    let taplo = npm::program("configuration", "taplo")?;
    let folder = tempfile::tempdir().unwrap();
    let schema = folder.path().join("bitlake.schema.json");
    std::fs::write(&schema, json_schema()).unwrap();
    let mut command = Command::new(taplo);
    command
        .args(["lint", "--no-auto-config", "--colors", "never", "--schema"])
        .arg(format!("file://{}", schema.display()))
        .env("RUST_LOG", "error");
    for (n, text) in files.enumerate() {
        let path = folder.path().join(format!("{n}.toml"));
        std::fs::write(&path, text).unwrap();
        command.arg(path);
    }
    let printed = text(&command.output().unwrap().stderr);
    assert!(!printed.contains("failed to load schema"), "{printed}");
    let refused = printed
        .lines()
        .filter(|line| line.contains("invalid file"))
        .map(|line| {
            let name = line.rsplit_once('/').unwrap().1;
            name.split_once('.').unwrap().0.parse().unwrap()
        });
    Some(refused.collect())
}

#[test]
fn an_editor_sees_the_mistakes_that_a_schema_can_see() {
    let files = faulty_files();
    let Some(refused) = refused_by_schema(files.iter().map(|file| file.text.as_str())) else {
        return;
    };
    for (n, file) in files.iter().enumerate() {
        let by_schema = file.is_seen_by_schema;
        assert_eq!(
            refused.contains(&n),
            by_schema,
            "seen by the schema:\n{}",
            file.text
        );
    }
}

#[test]
fn an_editor_finds_no_mistake_in_valid_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bitlake.toml");
    let written = bitlake(&["--config", path.to_str().unwrap(), "init"]);
    assert!(written.status.success());
    let template = std::fs::read_to_string(&path).unwrap();
    let uncommented: String = template
        .split_inclusive('\n')
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .collect();
    let mut files = vec![BASE.to_owned(), template, uncommented];
    files.extend(docs::configurations().into_values());
    let Some(refused) = refused_by_schema(files.iter().map(String::as_str)) else {
        return;
    };
    let refused: Vec<&str> = refused.iter().map(|n| files[*n].as_str()).collect();
    assert!(refused.is_empty(), "{}", refused.join("\n----\n"));
}

#[test]
fn init_prints_the_schema_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bitlake.toml");
    let printed = bitlake(&["--config", path.to_str().unwrap(), "init", "--schema"]);
    assert!(printed.status.success() && !path.exists());
    assert_eq!(text(&printed.stdout), json_schema());
}
