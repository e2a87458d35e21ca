//! Over small repositories that the tests make, by `file://`; over HTTP it is `tests/it/git`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::bitbucket::{Client, ClientOptions, Credentials, Token};
use crate::secret::Secret;

/// Whether there is git; on CI there must be.
fn has_git() -> bool {
    let found = Command::new("git").arg("version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "CI needs git");
    if !found {
        eprintln!("skipped, for want of git");
    }
    found
}

/// A repository to clone, and a folder for its clone.
struct Bench {
    folder: TempDir,
    client: Client,
    git: Git,
}

fn client(credentials: Credentials) -> Client {
    let options = ClientOptions {
        connection: "acme".into(),
        endpoint: "http://127.0.0.1:9/".parse().unwrap(),
        credentials,
        proxy: None,
        requests_per_hour: None,
        limits: Limits::default(),
    };
    Client::new(options).unwrap()
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = GitCommits {
            cache: folder.path().join("cache"),
            line_counts: true,
        };
        let limits = Limits {
            first_wait: std::time::Duration::from_millis(1),
            ..Limits::default()
        };
        let bench = Self {
            git: Git::find(&settings, &limits).unwrap(),
            client: client(Credentials::None),
            folder,
        };
        std::fs::create_dir(bench.work()).unwrap();
        bench.run(&["init", "--quiet", "--initial-branch=main"]);
        bench.run(&["config", "uploadpack.allowFilter", "true"]);
        bench.run(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        bench
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.feed(arguments, b"")
    }

    fn feed(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.work())
            .env("GIT_CONFIG_GLOBAL", NOTHING)
            .env("GIT_AUTHOR_NAME", "Ann Lee")
            .env("GIT_AUTHOR_EMAIL", "ann@acme.example")
            .env("GIT_AUTHOR_DATE", "2026-05-01T10:00:00+02:00")
            .env("GIT_COMMITTER_NAME", "Bob")
            .env("GIT_COMMITTER_EMAIL", "bob@acme.example")
            .env("GIT_COMMITTER_DATE", "2026-05-02T10:00:00Z")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        std::fs::write(self.work().join(path), content).unwrap();
    }

    /// Commits everything there is; returns the hash.
    fn commit(&self, message: &str) -> String {
        self.run(&["add", "--all"]);
        self.run(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.run(&["rev-parse", "HEAD"])
    }

    async fn clone(&self) -> Clone<'_> {
        let origin = Origin {
            url: Url::from_file_path(self.work()).unwrap(),
            user: None,
            proxy: None,
        };
        let clone = self.git.repository(1, "{web-1}", origin, &self.client);
        clone.await.unwrap()
    }

    /// All commits by subject, fetched anew, with line counts.
    async fn commits(&self) -> BTreeMap<String, Commit> {
        let clone = self.clone().await;
        assert!(clone.fetch(false).await.unwrap().is_none());
        let mut commits = all(&clone).await;
        clone.count_lines(&mut commits).await.unwrap();
        let named = |commit: Commit| {
            let subject = commit.message.lines().next().unwrap_or_default();
            (subject.to_owned(), commit)
        };
        commits.into_iter().map(named).collect()
    }
}

async fn read(clone: &Clone<'_>, range: &Range) -> Vec<Commit> {
    let mut log = clone.log(range, 0).unwrap();
    let mut commits = Vec::new();
    while let Some(commit) = log.next().await.unwrap() {
        commits.push(commit);
    }
    commits
}

async fn all(clone: &Clone<'_>) -> Vec<Commit> {
    let range = Range {
        from: clone.heads().await.unwrap(),
        ..Range::default()
    };
    read(clone, &range).await
}

/// `path kind added/deleted`, one per change.
fn changes(commit: &Commit) -> Vec<String> {
    let changes = commit.changes.iter();
    let line = |change: &Change| {
        let lines = change.lines.map(|n| format!("{}/{}", n.added, n.deleted));
        let lines = lines.unwrap_or_else(|| "binary".to_owned());
        format!("{:?} {:?} {lines}", change.path, change.kind)
    };
    changes.map(line).collect()
}

#[tokio::test]
async fn a_commit_has_both_people_both_times_parents_and_message() {
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
async fn changes_are_those_against_the_first_parent_and_a_move_is_two() {
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
async fn submodules_links_and_attributes_are_counted_as_what_they_are() {
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
async fn odd_paths_and_odd_messages_stay_with_their_commit() {
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

#[tokio::test]
async fn a_range_is_what_the_new_heads_have_and_the_known_ones_have_not() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let first = bench.commit("first");
    let second = bench.commit("second");
    let third = bench.commit("third");
    let clone = bench.clone().await;
    clone.fetch(false).await.unwrap();
    let set = |hashes: &[&String]| hashes.iter().map(|hash| (*hash).clone()).collect();
    let gone = "f".repeat(40);
    let odd = "HEAD".to_owned();
    let known = clone.holds(&set(&[&first, &gone, &odd])).await.unwrap();
    assert_eq!(known, set(&[&first]));
    let range = Range {
        from: set(&[&third]),
        without: set(&[&first]),
    };
    let hashes = |commits: Vec<Commit>| commits.into_iter().map(|c| c.hash).collect::<Vec<_>>();
    assert_eq!(hashes(read(&clone, &range).await), [&*third, &*second]);
    let mut log = clone.log(&range, 1).unwrap();
    assert_eq!(log.next().await.unwrap().unwrap().hash, second);
    assert_eq!(log.next().await.unwrap(), None);
}

#[tokio::test]
async fn heads_are_the_commits_behind_branches_and_tags() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    bench.write("a.txt", "1\n");
    let first = bench.commit("first");
    bench.run(&["tag", "--annotate", "-m", "a release", "v1"]);
    let second = bench.commit("second");
    bench.run(&["tag", "a-file", "HEAD:a.txt"]);
    let clone = bench.clone().await;
    clone.fetch(true).await.unwrap();
    let heads = clone.heads().await.unwrap();
    assert_eq!(heads, BTreeSet::from([first, second]));
}

#[tokio::test]
async fn a_clone_has_no_contents_until_lines_are_counted_and_each_is_fetched_once() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    bench.write("a.txt", "1\n");
    bench.commit("root");
    bench.write("a.txt", "1\n2\n");
    bench.write("b.txt", "1\n");
    bench.commit("more");
    let blob = bench.run(&["rev-parse", "HEAD:a.txt"]);
    let clone = bench.clone().await;
    clone.fetch(false).await.unwrap();
    let kind = async || {
        clone.objects([blob.as_str()].into_iter()).await.unwrap()[0]
            .1
            .clone()
    };
    assert_eq!(kind().await, "missing");
    let mut commits = all(&clone).await;
    clone.count_lines(&mut commits[..1]).await.unwrap();
    assert_eq!(kind().await, "blob");
    assert_eq!(bench.git.operations(), 2);
    clone.count_lines(&mut commits).await.unwrap();
    assert_eq!(bench.git.operations(), 2, "all contents were here");
    assert_eq!(
        changes(&commits[0]),
        [r#""a.txt" Modified 1/0"#, r#""b.txt" Added 1/0"#]
    );
}

#[tokio::test]
async fn branches_move_vanish_and_turn_into_folders() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let clone = bench.clone().await;
    assert!(clone.fetch(false).await.unwrap().is_none());
    assert_eq!(all(&clone).await, [], "an empty repository");
    let first = bench.commit("first");
    bench.run(&["branch", "topic"]);
    clone.fetch(false).await.unwrap();
    bench.run(&["branch", "-D", "topic"]);
    bench.run(&["branch", "topic/one"]);
    bench.run(&["checkout", "--quiet", "--orphan", "new"]);
    let other = bench.commit("other");
    bench.run(&["branch", "--force", "main", &other]);
    bench.run(&["branch", "-D", "topic/one"]);
    clone.fetch(false).await.unwrap();
    let hashes: Vec<_> = all(&clone).await;
    assert_eq!(hashes.len(), 1, "{first} is on no branch any more");
    assert_eq!(hashes[0].hash, other);
}

#[tokio::test]
async fn a_broken_clone_is_made_anew() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    bench.commit("first");
    let clone = bench.clone().await;
    clone.fetch(false).await.unwrap();
    let folder = clone.folder().to_path_buf();
    std::fs::write(folder.join("refs/heads/main"), "no hash\n").unwrap();
    std::fs::remove_dir_all(folder.join("objects")).unwrap();
    assert!(clone.fetch(false).await.unwrap().is_none());
    assert_eq!(all(&clone).await.len(), 1);
}

#[tokio::test]
async fn two_do_not_use_one_clone_at_the_same_time() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let first = bench.clone().await;
    let wait = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(wait, bench.clone()).await.is_err());
    drop(first);
    bench.clone().await;
}

#[test]
fn a_missing_or_old_git_is_a_configuration_error_that_names_the_fix() {
    let settings = GitCommits {
        cache: "cache".into(),
        line_counts: true,
    };
    let error = Git::with_program("no-such-git".into(), &settings, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error
            .to_string()
            .ends_with("install git 2.32 or newer, or set commits = \"api\""),
        "{error}"
    );
    assert_eq!(version("git version 2.47.3 (Apple Git-1)"), Some((2, 47)));
    assert_eq!(version("git version 2.31.rc1"), Some((2, 31)));
    assert_eq!(version("hg 6.1"), None);
    assert!(version("git version 2.31.0") < Some(OLDEST));
}

/// The variables that a command sets.
fn variables(command: &Command) -> BTreeMap<String, String> {
    let text = |text: &std::ffi::OsStr| text.to_str().unwrap().to_owned();
    let set = command.get_envs();
    set.filter_map(|(name, value)| Some((text(name), text(value?))))
        .collect()
}

#[tokio::test]
async fn secrets_are_in_the_environment_for_one_host_and_in_no_argument() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let tokens = vec![Token {
        secret: Secret::new("s3cr3t".into()),
        origin: "environment variable TOKEN".into(),
    }];
    let client = client(Credentials::AccessToken { tokens });
    let origin = Origin {
        url: "https://bitbucket.org/acme/web.git".parse().unwrap(),
        user: Some("x-token-auth".into()),
        proxy: Some("socks5://proxy:1080".into()),
    };
    let clone = bench
        .git
        .repository(1, "{web}", origin, &client)
        .await
        .unwrap();
    let (command, secrets) = clone.online_command(&["fetch", "origin"]).await.unwrap();
    let signed = "eC10b2tlbi1hdXRoOnMzY3IzdA==";
    assert_eq!(secrets, [signed, "s3cr3t"]);
    let arguments: Vec<_> = command.get_args().map(|it| it.to_str().unwrap()).collect();
    let shown = arguments.join(" ");
    assert!(
        !shown.contains("s3cr3t") && !shown.contains(signed),
        "{shown}"
    );
    let variables = variables(&command);
    let value = |key: &str| {
        let (name, _) = variables.iter().find(|(_, value)| *value == key).unwrap();
        variables[&name.replace("KEY", "VALUE")].as_str()
    };
    assert_eq!(
        value("http.https://bitbucket.org/.extraHeader"),
        format!("Authorization: Basic {signed}")
    );
    assert_eq!(
        value("remote.origin.url"),
        "https://bitbucket.org/acme/web.git"
    );
    assert_eq!(value("http.proxy"), "socks5://proxy:1080");
    assert_eq!(value("credential.helper"), "");
    assert_eq!(value("http.followRedirects"), "false");
    for (name, expected) in [
        ("GIT_ALLOW_PROTOCOL", "https"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ] {
        assert_eq!(variables[name], expected);
    }
    let local = bench.git.command(Some(clone.folder()), &[]);
    let local = format!("{:?}", self::variables(&local));
    assert!(
        !local.contains("Authorization") && !local.contains("remote.origin"),
        "{local}"
    );
}

#[tokio::test]
async fn nobodys_settings_hooks_or_traces_reach_git() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    let said = |arguments: &[&str]| {
        let mut command = bench.git.command(None, &[]);
        let command = command.args(arguments).current_dir(bench.folder.path());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let listed = said(&["config", "--list", "--show-scope"]);
    assert_eq!(listed.lines().count(), SETTINGS.len() + 1);
    assert!(
        listed.lines().all(|line| line.starts_with("command\t")),
        "{listed}"
    );
    // Cargo sets it for this process.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let passed_on = said(&["-c", "alias.surroundings=!env", "surroundings"]);
    assert!(passed_on.contains("GIT_CONFIG_NOSYSTEM=1"), "{passed_on}");
    assert!(!passed_on.contains("CARGO_MANIFEST_DIR"), "{passed_on}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_a_configuration_error() {
    if !has_git() {
        return;
    }
    let bench = Bench::new();
    std::fs::write(bench.folder.path().join("cache"), "a file").unwrap();
    let origin = Origin {
        url: Url::from_file_path(bench.work()).unwrap(),
        user: None,
        proxy: None,
    };
    let clone = bench
        .git
        .repository(1, "{web}", origin, &bench.client)
        .await;
    let error = clone.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("git_cache"), "{error}");
}
