//! No secret reaches the disk: the tests plant one of each rule in every text of every entity and search every byte of a
//! lake.
//!
//! The secrets are generated from the rules' patterns, so that none is in the repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use bitlake::redaction::{ReceivedRecord, Redactor};
use bitlake::secret::Masker;
use bitlake_sandbox::{Fault, Sandbox};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use regex::bytes::RegexBuilder;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Value, json};

use super::support::*;

/// A text that a rule matches, and the secret in it.
struct Sample {
    rule: String,
    text: String,
    secret: String,
}

/// A generator with the same letters in every run.
struct Letters(u64);

impl Letters {
    fn next(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Generate a text that the pattern matches, ignoring assertions about its surroundings.
    fn text(&mut self, pattern: &Hir, text: &mut Vec<u8>) {
        match pattern.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => text.extend_from_slice(&literal.0),
            HirKind::Class(class) => text.push(self.letter(class)),
            HirKind::Repetition(repetition) => {
                let open = repetition.min > 0 && repetition.max.is_none();
                let more = if open { 8 } else { 0 };
                for _ in 0..repetition.min + more {
                    self.text(&repetition.sub, text);
                }
            }
            HirKind::Capture(capture) => self.text(&capture.sub, text),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.text(part, text)),
            HirKind::Alternation(parts) => {
                let part = self.next(parts.len());
                self.text(&parts[part], text);
            }
        }
    }

    fn letter(&mut self, class: &Class) -> u8 {
        let class = match class {
            Class::Bytes(class) => class.clone(),
            Class::Unicode(class) => class.to_byte_class().unwrap(),
        };
        let ranges = class.ranges().iter();
        let all: Vec<u8> = ranges.flat_map(|it| it.start()..=it.end()).collect();
        let of = |kind: fn(&u8) -> bool| all.iter().copied().filter(kind).collect::<Vec<_>>();
        let letters = of(u8::is_ascii_alphanumeric);
        let printable = of(|letter| (b' '..=b'~').contains(letter));
        let choices = [letters, printable, all];
        let choice = choices.iter().find(|it| !it.is_empty()).unwrap();
        choice[self.next(choice.len())]
    }
}

fn rules() -> Vec<toml::Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let rules = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let file: toml::Value = toml::from_str(&text).unwrap();
        file["rules"].as_array().unwrap().clone()
    };
    [rules("gitleaks.toml"), rules("bitlake.toml")].concat()
}

fn redactor() -> Redactor {
    Redactor::new(Masker::default()).unwrap()
}

fn redacted(text: &str) -> String {
    let record = json!({ "text": text }).to_string();
    let (record, _) = ReceivedRecord::read(&record).redact(&redactor());
    let record: Value = serde_json::from_str(record.payload()).unwrap();
    record["text"].as_str().unwrap().to_owned()
}

/// Generate samples of a rule, one per seed, without those that the rule's allowlist accepts.
fn samples(rule: &toml::Value) -> impl Iterator<Item = Sample> {
    let id = rule["id"].as_str().unwrap().to_owned();
    let pattern = rule["regex"].as_str().unwrap().to_owned();
    let regex = RegexBuilder::new(&pattern)
        .unicode(false)
        .size_limit(1 << 26)
        .build()
        .unwrap();
    let group = rule.get("secretGroup").map(|it| it.as_integer().unwrap());
    let keywords = rule["keywords"].as_array().unwrap().iter();
    let keywords: Vec<String> = keywords.map(|it| it.as_str().unwrap().to_owned()).collect();
    let hir = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(&pattern)
        .unwrap();
    (1..200_u64).filter_map(move |seed| {
        let mut text = Vec::new();
        Letters(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).text(&hir, &mut text);
        let mut text = String::from_utf8(text).ok()?;
        if id == "kubernetes-secret-yaml" {
            // Its pattern depends on surrounding words, which are not generated here.
            text = format!(
                "kind: Secret\ndata:\n  key: {}",
                "aB3d".repeat(seed as usize + 3)
            );
        }
        let mut words = keywords.iter();
        if !words.any(|word| text.to_lowercase().contains(word.as_str())) {
            text.insert_str(0, &format!("{}: ", keywords[0]));
        }
        let captures = regex.captures(text.as_bytes())?;
        let secret = match group {
            Some(group) => captures.get(usize::try_from(group).unwrap()),
            None => (1..captures.len())
                .find_map(|it| captures.get(it))
                .or(captures.get(0)),
        };
        let secret = String::from_utf8(secret?.as_bytes().to_vec()).ok()?;
        let rule = id.clone();
        Some(Sample { rule, text, secret })
    })
}

/// Return one secret of each rule, found in its own text.
fn one_of_each() -> Vec<Sample> {
    let found = rules()
        .into_iter()
        .filter_map(|rule| samples(&rule).find(|it| !redacted(&it.text).contains(&it.secret)));
    found.collect()
}

#[test]
fn each_rule_has_a_name_of_its_own_and_finds_most_secrets_of_its_shape() {
    let rules = rules();
    let names: BTreeSet<&str> = rules.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(names.len(), rules.len());
    let mut missed = Vec::new();
    for rule in &rules {
        let (mut found, mut all) = (0, 0);
        for sample in samples(rule).take(20) {
            all += 1;
            found += usize::from(!redacted(&sample.text).contains(&sample.secret));
        }
        if found * 2 <= all {
            missed.push(format!("{found} of {all}: {rule:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Tokens as people paste them: in a sentence, before a full stop, in brackets and backticks.
#[test]
fn tokens_are_found_in_prose() {
    let a = |length: usize| "aB3dE5fG7hJ9".repeat(20)[..length].to_owned();
    let upper = |length: usize| "AB3DE5FG7HJ9".repeat(20)[..length].to_owned();
    let digits = "1234567890123";
    let secrets = [
        format!("ghp{}{}", "_", "A".repeat(36)),
        format!("github_pat{}11{}_{}", "_", a(20), a(59)),
        format!("glpat{}{}", "-", a(20)),
        format!("xoxb{}{digits}-{digits}-{}", "-", a(24)),
        format!("AIza{}", a(35)),
        format!("sk{}{}", "_live_", a(24)),
        format!("npm{}{}", "_", a(36)),
        format!("ASIA{}", upper(16)),
        format!("AKIA{}", upper(16)),
        format!(
            "eyJhbGciOiJIUzI1NiJ9{}eyJzdWIiOiIxMjM0In0{}{}",
            ".",
            ".",
            a(43)
        ),
        format!("ATATT3{}={}", a(180), upper(8)),
        format!("ATCTT3{}", a(180)),
        format!("ATBB{}", a(32)),
        format!("hvs{}{}", ".", a(90)),
        format!("hf{}{}", "_", a(34)),
        format!("dckr_pat{}{}", "_", a(27)),
        format!("sk-proj{}{}", "-", a(60)),
    ];
    for secret in &secrets {
        for (before, after) in [
            ("use ", " for now"),
            ("It is ", "."),
            ("(", ")"),
            ("`", "`, as said"),
            ("token=", "&page=2"),
            ("**", "**"),
            ("„", "“"),
            ("<code>", "</code>"),
            ("", "\n"),
        ] {
            let text = format!("{before}{secret}{after}");
            let clean = redacted(&text);
            assert!(!clean.contains(secret.as_str()), "{text} → {clean}");
            assert!(clean.len() < 60, "{text} → {clean}");
        }
    }
    let aws = format!("{}/{}", a(19), a(20));
    let block = |kind: &str| format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----", a(200));
    for (text, secret) in [
        (format!("Authorization: Bearer {}", a(30)), a(30)),
        (
            format!("curl -H 'authorization: bearer {}' x", a(30)),
            a(30),
        ),
        (format!("Authorization: Basic {}==", a(18)), a(18)),
        (format!("aws_secret_access_key = {aws}"), aws.clone()),
        (format!("AWS_SECRET_ACCESS_KEY=\"{aws}\""), aws.clone()),
        (format!("SecretAccessKey: {aws}"), aws),
        (format!("the password is password: {}!", a(9)), a(9)),
        (format!("{{\\\"api_key\\\": \\\"{}\\\"}}", a(20)), a(20)),
        (format!("DB_PASSWORD_PROD={}", a(12)), a(12)),
        (format!("https://x.example/?access_token={}", a(20)), a(20)),
        (
            format!("git clone https://me:{}@bitbucket.org/a/b", a(8)),
            a(8),
        ),
        (block("PGP PRIVATE KEY BLOCK"), a(200)),
        (block("RSA PRIVATE KEY"), a(200)),
        (block("PRIVATE KEY"), a(200)),
        (block("OPENSSH PRIVATE KEY"), a(200)),
        (block("PRIVATE KEY").replace('\n', "\\n"), a(200)),
        (block("EC PRIVATE KEY")[..120].to_owned(), a(60)),
    ] {
        let clean = redacted(&text);
        assert!(!clean.contains(&secret), "{text} → {clean}");
    }
}

/// Texts about secrets, and texts that resemble secrets.
#[test]
fn ordinary_texts_stay() {
    let commit = "3f2c1b9d8e7a6f5c4d3b2a190817263544536271";
    for text in [
        "Merged in feature/CHK-12 (pull request #42)\n\nApproved-by: A. Reviewer <a@acme.example>",
        "This reverts commit {commit}.",
        "cherry picked from commit {commit}",
        "See https://bitbucket.org/acme/web/commits/{commit} and .../src/{commit}/api/key.rs",
        "https://api.bitbucket.org/2.0/repositories/acme/web/commit/{commit}/statuses",
        "Bump tokio from 1.38.0 to 1.39.2, api: v2.34.5, key: CHK-1234",
        "api: {commit}",
        "Bump token-service: {commit}",
        "{c52e5cc5-0d1f-4000-8000-adf187924ef8} 557058:c52e5cc5-0d1f-4000-8000-adf187924ef8",
        "712020:b0700000-0000-4000-8000-000000000001, pipeline {d1a0f6ab-57f0-4c3a-8f1e-0a1b2c3d4e5f}",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "password: see the vault; token: expired; secret: unknown, credentials: missing",
        "Rotate the access token of the build user and its API key: done on 2026-05-01",
        "token: 2026-05-01T10:00:00Z; secret = ${DB_PASSWORD1}; password=%PASS1WORD%; token: $TOKEN_1",
        "Password: https://vault.acme.example/ui/kv/db1 (see CHK-77)",
        "The bearer of this ticket; Bearer authentication; Authorization: Basic authentication",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\nmQEN\n-----END PGP PUBLIC KEY BLOCK-----",
        "Dropbox: implementations of the API; Jira: documentation, Linear: refactoring of everything",
        "https://secure.gravatar.com/avatar/{md5}?d=https%3A%2F%2Favatar-management",
        "git@bitbucket.org:acme/web.git ssh://git@bitbucket.org/acme/web https://me@bitbucket.org/acme/web",
        "node_id MDEwOlJlcG9zaXRvcnkxMjM0NTY3OA==, build 20260501.3, cache key: linux-x64-{commit}",
        "sk-translation-of-the-whole-website-2026 and task-force, disk-usage",
    ] {
        let text = text.replace("{commit}", commit);
        let text = text.replace("{md5}", &commit[..32]);
        assert_eq!(redacted(&text), text);
    }
}

/// No text of the demo is redacted; only values of secret keys are.
#[test]
fn no_text_of_the_demo_is_taken_for_a_secret() {
    let mut texts = 0;
    for path in files(&fixture("demo")) {
        if path.extension().is_none_or(|it| it != "jsonl") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let mut record: Value = serde_json::from_str(line).unwrap();
            each_text(&mut record, &mut |_, text| {
                assert_eq!(redacted(text), *text);
                texts += 1;
            });
        }
    }
    assert!(texts > 50_000, "{texts}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files(&path),
                false => vec![path],
            }
        })
        .collect()
}

fn each_text(value: &mut Value, each: &mut impl FnMut(&str, &mut String)) {
    fn walk(value: &mut Value, key: &str, each: &mut impl FnMut(&str, &mut String)) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    walk(value, key, each);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|it| walk(it, key, each)),
            Value::String(text) => each(key, text),
            _ => {}
        }
    }
    walk(value, "", each);
}

/// Members by which records are found, joined and sorted: a secret there would make another workspace.
fn is_structure(key: &str, text: &str) -> bool {
    const ADDRESSES: [&str; 9] = [
        "full_name",
        "hash",
        "slug",
        "type",
        "state",
        "uuid",
        "href",
        "account_id",
        "stage",
    ];
    ADDRESSES.contains(&key)
        || text.starts_with("20") && text.contains('T')
        || text.starts_with('{')
}

#[tokio::test]
async fn no_secret_in_any_text_of_any_entity_reaches_the_lake() {
    let secrets = one_of_each();
    assert_eq!(secrets.len(), rules().len());
    let planted: Vec<_> = secrets.iter().map(|it| it.text.as_str()).collect();
    let planted = planted.join("\n\n");
    let own = format!("own-{}", "a1B2".repeat(8));

    let world = tempfile::tempdir().unwrap();
    copy(&fixture("demo/acme"), &world.path().join("acme"));
    let mut tables = BTreeSet::new();
    for path in files(world.path()) {
        let table = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let in_web = path.components().any(|it| it.as_os_str() == "checkout-web");
        if !in_web && path.parent().unwrap() != world.path().join("acme") {
            std::fs::remove_file(&path).unwrap();
            continue;
        }
        let is_list = path.extension().is_some_and(|it| it == "jsonl");
        // The sandbox's list of the commits of each pull request.
        let is_own = table == "pull_request_commits";
        if is_own || !is_list && table != "repository" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let plant = |mut record: Value| {
            let mut names = 0;
            each_text(&mut record, &mut |key, text| {
                // A few secrets per record are enough, and keep the page below its size limit.
                names += 1;
                if !is_structure(key, text) {
                    match names {
                        0..6 => text.push_str(&format!(" {planted} {own}")),
                        _ => text.push_str(&format!(" {}", secrets[names % secrets.len()].text)),
                    }
                }
            });
            let more = format!("{} {own}", secrets[names % secrets.len()].text);
            record[&more] = json!({ "unknown": [more] });
            record
        };
        let written = match is_list {
            // The newest record, with which lists in descending order begin.
            true => {
                let lines: Vec<&str> = text.lines().collect();
                let lines = lines.iter().enumerate().map(|(n, line)| {
                    let record = serde_json::from_str(line).unwrap();
                    match n < 3 || n + 3 >= lines.len() {
                        true => plant(record).to_string(),
                        false => (*line).to_owned(),
                    }
                });
                lines.collect::<Vec<_>>().join("\n")
            }
            false => plant(serde_json::from_str(&text).unwrap()).to_string(),
        };
        std::fs::write(&path, written).unwrap();
        tables.insert(table);
    }
    for folder in std::fs::read_dir(world.path().join("acme")).unwrap() {
        let folder = folder.unwrap().path();
        if folder.is_dir() && !folder.ends_with("checkout-web") {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
    assert!(tables.len() > 12, "{tables:?}");

    let mut bench = Bench::new(Sandbox::builder().workspace_dir(world.path())).await;
    let token = world.path().join("token");
    std::fs::write(&token, &own).unwrap();
    bench.connection = format!(
        "auth = \"access-token\"\ntoken = {{ file = {:?} }}",
        token.to_str().unwrap()
    );
    bench.keys = "compression = \"none\"\nkeep_history = true".to_owned();
    let report = bench.complete().await;
    let entities = report.repositories.iter().flat_map(|it| &it.entities);
    for (table, entity) in entities {
        // Comments are embedded in the activity, and are redacted there.
        let elsewhere = table == "pull_request_comments";
        assert!(
            elsewhere || entity.records == 0 || entity.redactions > 0,
            "{table}"
        );
    }
    let lake = bench.folder.path().join("lake");
    let planted = secrets
        .iter()
        .map(|it| (it.rule.as_str(), it.secret.as_str()));
    let sought: Vec<_> = planted.chain([("own", own.as_str())]).collect();
    let find = || {
        let sought = AhoCorasick::new(sought.iter().map(|(_, secret)| secret)).unwrap();
        let all = everything(&lake);
        (sought.find(&all).map(|it| it.pattern()), all)
    };
    let (found, _) = find();
    assert_eq!(found.map(|it| sought[it]), None);
    bench.transform(&["domain"]).await.unwrap();
    let (found, all) = find();
    assert_eq!(found.map(|it| sought[it]), None);
    assert!(contains(&all, b"[removed]"));
}

/// Return all names and bytes of a folder, and all texts of its compressed Parquet files.
fn everything(folder: &Path) -> Vec<u8> {
    let (mut bytes, mut texts) = (Vec::new(), BTreeSet::new());
    for path in files(folder) {
        bytes.extend(path.to_str().unwrap().as_bytes());
        bytes.extend(std::fs::read(&path).unwrap());
        if path.extension().is_some_and(|it| it == "parquet") {
            let file = std::fs::File::open(&path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            for batch in reader.build().unwrap() {
                for column in batch.unwrap().columns() {
                    texts_of(column, &mut texts);
                }
            }
        }
    }
    for text in texts {
        bytes.push(b'\n');
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn texts_of(array: &ArrayRef, texts: &mut BTreeSet<String>) {
    match array.data_type() {
        DataType::Utf8 => {
            texts.extend(array.as_string::<i32>().iter().flatten().map(str::to_owned));
        }
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                texts_of(column, texts);
            }
        }
        DataType::List(_) => texts_of(array.as_list::<i32>().values(), texts),
        _ => {}
    }
}

fn contains(bytes: &[u8], sought: &[u8]) -> bool {
    bytes.windows(sought.len()).any(|window| window == sought)
}

fn page(records: &[&str]) -> Value {
    Value::from(format!(
        r#"{{"pagelen":50,"size":{},"page":1,"values":[{}]}}"#,
        records.len(),
        records.join(",")
    ))
}

/// Return a page of pull requests as text that no JSON library would write.
async fn pull_requests(records: &[&str]) -> Bench {
    let fault = Fault {
        matches: vec!["/pullrequests?".to_owned()],
        status: Some(200),
        body: Some(page(records)),
        ..Fault::default()
    };
    let world = fixture("quirks/pull_request_commits_bare_not_found");
    Bench::new(Sandbox::builder().workspace_dir(world).faults([fault])).await
}

#[tokio::test]
async fn a_record_of_invalid_json_loses_only_the_values_that_do_not_fit() {
    let token = format!("ghp_{}", "A".repeat(36));
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let record = |id: u32, more: &str| {
        format!(
            r#"{{"type":"pullrequest","id":{id},"title":"t","state":"OPEN","draft":false,"created_on":"2026-05-01T10:00:00Z",
            "updated_on":"2026-05-02T10:00:00Z",{more}}}"#
        )
    };
    let records = [
        record(1, &format!(r#""description":"half \ud83d use {token}""#)),
        record(
            2,
            &format!(r#""description":"\ude00\ud83d {token}","k\udc00":"{token}""#),
        ),
        record(
            3,
            &format!(r#""comment_count":1e999,"description":"{token}""#),
        ),
        record(4, &format!(r#""x":{deep},"description":"{token}""#)),
        record(5, r#""password":"hunter2","password":null"#),
        record(6, &format!("\"description\":\"a\tb {token}\"")),
        record(
            7,
            &format!(
                r#""description":"\ud83d","created_on":"2019-01-01T10:00:00Z","updated_on":"2019-01-01T10:00:00Z","y":"{token}""#
            ),
        ),
        record(
            8,
            &format!(
                r#""description":"ghp\u005f{} and \u0067hp_{}""#,
                &token[4..],
                &token[4..]
            ),
        ),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let mut bench = pull_requests(&records).await;
    bench.keys = "compression = \"none\"".to_owned();
    bench.more =
        "[sync]\nsince = \"2026-01-01\"\n[rules.default]\nentities = [\"review\"]".to_owned();
    let report = bench.run().await.unwrap();
    let entity = web(&report, "pull_requests");
    assert_eq!((entity.records, entity.older), (7, 1), "{entity:?}");
    assert_eq!(entity.redactions, 8);
    let rows = bench.rows("pull_requests").await;
    let keys: Vec<_> = rows.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["1", "2", "3", "4", "5", "6", "8"]);
    assert_eq!(rows[0].1["description"], "half \u{fffd} use [removed]");
    assert_eq!(rows[2].1["comment_count"], Value::Null);
    bench.transform(&["domain"]).await.unwrap();
    let domain = bench
        .query("SELECT pull_request_key, title FROM domain.pull_requests ORDER BY 1")
        .await;
    assert_eq!(domain.len(), 7, "{domain:?}");
    let all = everything(&bench.folder.path().join("lake"));
    for secret in [token.as_str(), "hunter2"] {
        assert!(!contains(&all, secret.as_bytes()), "{secret}");
    }
}

/// Names are keys: two names that differ only in their secrets must not give a duplicate key.
#[tokio::test]
async fn branches_whose_names_are_secrets_do_not_end_a_run() {
    let (mut bench, web) = Bench::copy_of("pull_request_commits_bare_not_found").await;
    let path = web.join("branches.jsonl");
    let branch: Value = serde_json::from_str(
        std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .next()
            .unwrap(),
    )
    .unwrap();
    let mut lines = vec![branch.to_string()];
    for letter in ["A", "B"] {
        let mut other = branch.clone();
        other["name"] = format!("fix/ghp_{}", letter.repeat(36)).into();
        lines.push(other.to_string());
    }
    std::fs::write(&path, lines.join("\n")).unwrap();
    bench.sandbox.reload().unwrap();
    bench.complete().await;
    bench.transform(&["domain"]).await.unwrap();
    let refs = bench
        .query("SELECT name FROM domain.refs WHERE name LIKE 'fix%'")
        .await;
    assert_eq!(refs, ["fix/[removed]"]);
}
