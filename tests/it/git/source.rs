//! A repository made by the git program and served in both ways: by git, and by the API as records made from git's output.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use bitlake_sandbox::{Builder, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::python::skip;
use super::super::support::Bench;

pub struct Source {
    folder: TempDir,
    published: AtomicUsize,
}

impl Source {
    /// Return `None` without git.
    pub fn new() -> Option<Self> {
        if Command::new("git").arg("version").output().is_err() {
            skip("git");
            return None;
        }
        let source = Self {
            folder: tempfile::tempdir().unwrap(),
            published: AtomicUsize::new(10),
        };
        let bare = source.bare();
        std::fs::create_dir_all(&bare).unwrap();
        std::fs::create_dir_all(source.records()).unwrap();
        source.git(&["init", "--quiet", "--bare", "--initial-branch=main", "."]);
        Some(source)
    }

    pub fn bare(&self) -> PathBuf {
        self.folder.path().join("git/acme/web.git")
    }

    fn records(&self) -> PathBuf {
        self.folder.path().join("api/acme/web")
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        self.feed(arguments, b"")
    }

    fn feed(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.bare())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {printed}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// Add commits to a branch: `lines` go into the branch's own file, one more with every commit. `from` is the parent of the
    /// first commit; empty for a root commit.
    pub fn commit(&self, branch: &str, from: Option<&str>, times: std::ops::Range<usize>) {
        let from = from.map(|from| self.hash(from));
        let mut stream = Vec::new();
        for n in times.clone() {
            let message = format!("{branch} {n}\n");
            let content = "line\n".repeat(n % 50 + 1);
            let (author, committer) = (1_780_000_000 + n * 60, 1_780_500_000 + n * 60);
            let person = format!("{} <ann@acme.example>", ["Ann", "Ann Lee"][n % 2]);
            write!(
                stream,
                "commit refs/heads/{branch}\nauthor {person} {author} +0200\n\
                 committer Bob <bob@acme.example> {committer} +0000\ndata {}\n{message}",
                message.len()
            )
            .unwrap();
            if let Some(from) = from.as_ref().filter(|_| n == times.start) {
                writeln!(stream, "from {from}").unwrap();
            }
            write!(
                stream,
                "M 100644 inline {branch}.txt\ndata {}\n{content}\n",
                content.len()
            )
            .unwrap();
        }
        self.feed(&["fast-import", "--quiet", "--force"], &stream);
    }

    pub fn hash(&self, revision: &str) -> String {
        self.git(&["rev-parse", revision])
    }

    /// Write the API's records of the repository's current state.
    pub fn publish(&self) {
        let moved = self.published.fetch_add(1, Ordering::Relaxed);
        let log = "--format=%H%x00%aI%x00%an <%ae>%x00%P%x00%B%x1e";
        let log = self.git(&["log", "--all", "--date-order", log]);
        let commits = log.split('\u{1e}').map(|it| it.trim_start_matches('\n'));
        let commits = commits.filter(|it| !it.is_empty()).map(|commit| {
            let fields: Vec<&str> = commit.split('\0').collect();
            let parents = fields[3].split_whitespace();
            let parents = parents.map(|hash| json!({"type": "commit", "hash": hash}));
            json!({
                "type": "commit", "hash": fields[0], "date": fields[1], "message": fields[4],
                "author": {"type": "author", "raw": fields[2]},
                "parents": parents.collect::<Vec<_>>(),
                "links": {"html": {"href": format!("https://bitbucket.org/acme/web/commits/{}", fields[0])}},
            })
        });
        let commits: Vec<Value> = commits.collect();
        let refs = |kind: &str, prefix: &str| -> Vec<Value> {
            let format = "--format=%(refname:lstrip=2) %(objectname)";
            let listed = self.git(&["for-each-ref", format, prefix]);
            let lines = listed.lines().map(|line| {
                let (name, hash) = line.split_once(' ').unwrap();
                let target = commits.iter().find(|commit| commit["hash"] == hash);
                json!({"type": kind, "name": name, "target": target.unwrap()})
            });
            lines.collect()
        };
        self.write("branches.jsonl", &refs("branch", "refs/heads"));
        self.write("tags.jsonl", &refs("tag", "refs/tags"));
        self.write("commits.jsonl", &commits);
        let uuid = "{00000460-0000-4000-8000-000000000001}";
        let repository = json!({
            "type": "repository", "uuid": uuid, "full_name": "acme/web", "slug": "web", "name": "web",
            "is_private": true, "has_issues": false, "scm": "git",
            "created_on": "2026-01-01T00:00:00+00:00", "updated_on": format!("2026-09-28T09:{moved}:00+00:00"),
            "workspace": {"type": "workspace", "uuid": "{000003cf-0000-4000-8000-000000000001}", "slug": "acme"},
            "mainbranch": {"type": "branch", "name": "main"},
            "links": {"html": {"href": "https://bitbucket.org/acme/web"}},
        });
        std::fs::write(
            self.records().join("repository.json"),
            repository.to_string(),
        )
        .unwrap();
    }

    pub fn make_public(&self) {
        let file = self.records().join("repository.json");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("\"is_private\":true", "\"is_private\":false");
        std::fs::write(file, text).unwrap();
    }

    fn write(&self, file: &str, records: &[Value]) {
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        std::fs::write(self.records().join(file), lines).unwrap();
    }

    pub fn builder(&self) -> Builder {
        let folder = self.folder.path();
        Sandbox::builder()
            .workspace_dir(folder.join("api"))
            .git_dir(folder.join("git"))
    }

    /// Read the commits `by` "api" or "git".
    pub async fn bench(&self, by: &str) -> Bench {
        let mut bench = Bench::new(self.builder()).await;
        set(&mut bench, by, "");
        bench
    }
}

/// Set how commits are read from now on, with further keys of `[sync]`.
pub fn set(bench: &mut Bench, by: &str, keys: &str) {
    let cache = cache(bench);
    bench.more = format!(
        "[rules.default]\nentities = [\"code\"]\n[sync]\nsince = \"2026-01-01\"\ncommits = \"{by}\"\n\
         git_cache = \"{}\"\n{keys}\n",
        cache.display()
    );
}

pub fn cache(bench: &Bench) -> PathBuf {
    bench.folder.path().join("clones")
}

/// Return every file below a folder as text.
pub fn texts(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.push_str(&texts(&path)),
            false => all.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap())),
        }
    }
    all
}
