//! Unusual commits.

use super::*;

#[tokio::test]
async fn a_commit_has_author_committer_both_dates_parents_and_message() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let root = bench.commit("root");
    let second = bench.commit("second\n\nWith a body.");
    let commits = bench.commits().await;
    assert_eq!(commits.len(), 2);
    let commit = &commits["second"];
    assert_eq!(commit.hash, second);
    assert_eq!(commit.parents, [root]);
    assert_eq!(commit.author, "Ann Lee <ann@acme.example>");
    assert_eq!(commit.committer, "Bob <bob@acme.example>");
    let time = |time: Option<chrono::DateTime<_>>| time.unwrap().to_rfc3339();
    assert_eq!(time(commit.author_date), "2026-05-01T08:00:00+00:00");
    assert_eq!(time(commit.committer_date), "2026-05-02T10:00:00+00:00");
    assert_eq!(commit.message, "second\n\nWith a body.\n");
}

#[tokio::test]
async fn changes_are_relative_to_the_first_parent_and_a_move_counts_twice() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    bench.write("a.txt", "1\n2\n3\n");
    bench.write("b.bin", [0, 1, 2]);
    bench.commit("root");
    bench.run(&["mv", "a.txt", "moved.txt"]);
    bench.write("b.bin", [0, 1, 2, 3]);
    bench.commit("move");
    bench.commit("empty");
    bench.run(&["checkout", "--quiet", "-b", "side", "HEAD~1"]);
    bench.write("side.txt", "1\n2\n");
    bench.commit("side");
    bench.run(&["checkout", "--quiet", "main"]);
    bench.run(&["merge", "--quiet", "--no-ff", "-m", "merge", "side"]);
    let commits = bench.commits().await;
    assert_eq!(
        changes(&commits["root"]),
        [r#""a.txt" Added 3/0"#, r#""b.bin" Added binary"#]
    );
    assert_eq!(
        changes(&commits["move"]),
        [
            r#""a.txt" Removed 0/3"#,
            r#""b.bin" Modified binary"#,
            r#""moved.txt" Added 3/0"#
        ]
    );
    assert!(commits["empty"].changes.is_empty());
    assert_eq!(commits["merge"].parents.len(), 2);
    assert_eq!(changes(&commits["merge"]), [r#""side.txt" Added 2/0"#]);
}

#[cfg(unix)]
#[tokio::test]
async fn submodules_links_and_attributes_do_not_affect_line_counts() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    bench.write("a.txt", "1\n2\n");
    bench.write(".gitattributes", "*.txt binary\n");
    bench.commit("root");
    let module = "160000,1111111111111111111111111111111111111111,module";
    bench.run(&["update-index", "--add", "--cacheinfo", module]);
    std::fs::remove_file(bench.work().join("a.txt")).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.work().join("a.txt")).unwrap();
    bench.run(&["add", "a.txt"]);
    bench.run(&["commit", "--quiet", "-m", "module"]);
    let commits = bench.commits().await;
    assert_eq!(
        changes(&commits["root"]),
        [r#"".gitattributes" Added 1/0"#, r#""a.txt" Added 2/0"#]
    );
    assert_eq!(
        changes(&commits["module"]),
        [r#""a.txt" Modified 1/2"#, r#""module" Added 1/0"#]
    );
}

#[cfg(unix)]
#[tokio::test]
async fn unusual_paths_and_messages_are_assigned_to_their_commit() {
    use std::os::unix::ffi::OsStrExt;
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let odd = ["a\tb\n:100644 c", "\u{1}start", "quote\"d", "naïve"];
    for path in odd {
        bench.write(path, "1\n");
    }
    for bytes in [&b"\xff.txt"[..], b"\xfe.txt"] {
        bench.write(std::ffi::OsStr::from_bytes(bytes), "1\n2\n");
    }
    bench.commit("paths");
    let tree = bench.run(&["rev-parse", "HEAD^{tree}"]);
    let raw = |message: &[u8]| {
        let mut raw = format!(
            "tree {tree}\nparent {}\nauthor Ann <a@x> not a time\ncommitter <> 1 +0000\n\n",
            bench.run(&["rev-parse", "HEAD"])
        )
        .into_bytes();
        raw.extend(message);
        let hash = bench.feed(
            &[
                "hash-object",
                "-t",
                "commit",
                "-w",
                "--stdin",
                "--literally",
            ],
            &raw,
        );
        bench.run(&["update-ref", "refs/heads/main", &hash]);
    };
    raw(b"latin \xe9\n");
    raw(b"\x01marks\n\n:100644 100644 1 2 M\n\x01");
    raw(b"");
    let commits = bench.commits().await;
    assert_eq!(commits.len(), 4);
    let mut found = changes(&commits["paths"]);
    let mut expected: Vec<_> = odd
        .iter()
        .map(|path| format!("{path:?} Added 1/0"))
        .collect();
    expected.push("\"\u{fffd}.txt\" Added 4/0".to_owned());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let latin = &commits["latin \u{fffd}"];
    assert_eq!(latin.author, "Ann <a@x>");
    assert_eq!(latin.author_date, None);
    assert_eq!(latin.committer, " <>");
    assert_eq!(
        commits["\u{1}marks"].message,
        "\u{1}marks\n\n:100644 100644 1 2 M\n\u{1}"
    );
    assert_eq!(commits[""].message, "");
}
