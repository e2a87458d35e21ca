//! The fixtures: folders of JSON lines, from the disk or compiled into the crate.
//!
//! ```text
//! <root>/faults.json  <root>/user.json                            optional: faults, the reply to /user
//! <root>/<workspace>/members.jsonl  workspace.json                optional
//! <root>/<workspace>/<repository>/repository.json                 required
//! <root>/<workspace>/<repository>/disabled_features.json          optional: {"pipelines": {"status": 404}}
//! <root>/<workspace>/<repository>/<entity>.jsonl                  a missing file is an empty list
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use include_dir::Dir;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::SandboxError;

/// A folder of fixtures, on disk or embedded.
#[derive(Clone)]
pub(crate) enum FixtureFolder {
    Disk(PathBuf),
    Embedded(&'static Dir<'static>),
}

impl FixtureFolder {
    fn folders(&self) -> Result<Vec<(String, FixtureFolder)>, SandboxError> {
        let mut found = Vec::new();
        match self {
            Self::Disk(path) => {
                let unreadable = |source| SandboxError::Read {
                    path: path.display().to_string(),
                    source,
                };
                for entry in std::fs::read_dir(path).map_err(unreadable)? {
                    let entry = entry.map_err(unreadable)?;
                    if entry.path().is_dir() {
                        let name = entry.file_name().to_string_lossy().into_owned();
                        found.push((name, Self::Disk(entry.path())));
                    }
                }
            }
            Self::Embedded(dir) => {
                for folder in dir.dirs() {
                    if let Some(name) = folder.path().file_name() {
                        found.push((name.to_string_lossy().into_owned(), Self::Embedded(folder)));
                    }
                }
            }
        }
        found.retain(|(name, _)| !name.starts_with(['.', '_']));
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    fn text(&self, name: &str) -> Result<Option<String>, SandboxError> {
        let unreadable = |source| SandboxError::Read {
            path: self.place(name),
            source,
        };
        match self {
            Self::Disk(path) => match std::fs::read_to_string(path.join(name)) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(unreadable(error)),
            },
            Self::Embedded(dir) => Ok(dir
                .files()
                .find(|file| file.path().file_name().is_some_and(|known| known == name))
                .and_then(|file| file.contents_utf8())
                .map(str::to_owned)),
        }
    }

    fn is_workspace(&self) -> Result<bool, SandboxError> {
        for name in ["workspace.json", "members.jsonl"] {
            if self.text(name)?.is_some() {
                return Ok(true);
            }
        }
        for (_, folder) in self.folders()? {
            if folder.text("repository.json")?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn place(&self, name: &str) -> String {
        match self {
            Self::Disk(path) => path.join(name).display().to_string(),
            Self::Embedded(dir) => dir.path().join(name).display().to_string(),
        }
    }

    /// Return a JSON file of the folder; `None` without it.
    pub(crate) fn json<T: for<'de> Deserialize<'de>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, SandboxError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let value = serde_json::from_str(&text).map_err(|source| SandboxError::Parse {
            file: self.place(name),
            line: source.line(),
            source,
        })?;
        Ok(Some(value))
    }

    fn lines<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Vec<T>, SandboxError> {
        let text = self.text(name)?.unwrap_or_default();
        let mut records = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let record = serde_json::from_str(line).map_err(|source| SandboxError::Parse {
                file: self.place(name),
                line: number + 1,
                source,
            })?;
            records.push(record);
        }
        Ok(records)
    }
}

/// All records to serve.
#[derive(Default)]
pub(crate) struct Fixtures {
    pub workspaces: Vec<WorkspaceFixture>,
    pub user: Option<Value>,
}

pub(crate) struct WorkspaceFixture {
    pub slug: String,
    pub uuid: String,
    pub record: Value,
    pub members: Vec<Value>,
    pub repositories: Vec<RepositoryFixture>,
}

/// One repository's records by entity, with its commit graph.
pub(crate) struct RepositoryFixture {
    pub slug: String,
    pub uuid: String,
    pub record: Value,
    tables: BTreeMap<&'static str, Vec<Value>>,
    pub pull_request_commits: HashMap<i64, Vec<String>>,
    pub disabled: BTreeMap<String, DisabledFeature>,
    /// Table and row of each commit, by its full hash.
    hashes: BTreeMap<String, (&'static str, usize)>,
}

/// A feature that this repository lacks, or that the caller may not read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DisabledFeature {
    pub status: u16,
    /// Replaces the usual body; a text is sent as it is.
    pub body: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PullRequestCommits {
    pull_request: i64,
    hashes: Vec<String>,
}

const COMMITS: &str = "commits";
const UNLISTED: &str = "unlisted_commits";
const TABLES: [&str; 14] = [
    "branches",
    "tags",
    COMMITS,
    UNLISTED,
    "pull_requests",
    "pull_request_comments",
    "pull_request_activity",
    "issues",
    "issue_comments",
    "issue_changes",
    "pipelines",
    "pipeline_steps",
    "deployments",
    "environments",
];

impl Fixtures {
    pub(crate) fn load(root: &FixtureFolder) -> Result<Self, SandboxError> {
        let mut workspaces = Vec::new();
        if root.is_workspace()? {
            let name = match root {
                FixtureFolder::Disk(path) => path.file_name().map(|name| name.to_string_lossy()),
                FixtureFolder::Embedded(_) => None,
            };
            workspaces.push(WorkspaceFixture::load(
                root,
                &name.unwrap_or("acme".into()),
            )?);
        } else {
            for (name, folder) in root.folders()? {
                // The programs that generate fixtures may stand beside them.
                if folder.is_workspace()? {
                    workspaces.push(WorkspaceFixture::load(&folder, &name)?);
                }
            }
        }
        Ok(Self {
            workspaces,
            user: root.json("user.json")?,
        })
    }

    /// Find a workspace by its slug or `{uuid}`.
    pub(crate) fn workspace(&self, id: &str) -> Option<&WorkspaceFixture> {
        self.workspaces
            .iter()
            .find(|workspace| workspace.slug == id || workspace.uuid == id)
    }

    /// Find a repository by its slug or `{uuid}`. The workspace `{}` matches any workspace, as in Bitbucket, and then only the
    /// uuid identifies the repository.
    pub(crate) fn repository(&self, workspace: &str, id: &str) -> Option<&RepositoryFixture> {
        self.workspaces
            .iter()
            .filter(|known| workspace == "{}" || known.slug == workspace || known.uuid == workspace)
            .flat_map(|known| &known.repositories)
            .find(|known| known.uuid == id || known.slug == id && workspace != "{}")
    }
}

impl WorkspaceFixture {
    fn load(folder: &FixtureFolder, name: &str) -> Result<Self, SandboxError> {
        let mut repositories = Vec::new();
        for (name, folder) in folder.folders()? {
            if let Some(record) = folder.json("repository.json")? {
                repositories.push(RepositoryFixture::load(&folder, &name, record)?);
            }
        }
        let own = folder.json::<Value>("workspace.json")?;
        let record = own
            .or_else(|| {
                let first = repositories.first()?;
                first.record.get("workspace").cloned()
            })
            .unwrap_or_else(|| {
                json!({"type": "workspace", "uuid": format!("{{{name}}}"), "name": name, "slug": name})
            });
        Ok(Self {
            slug: text(&record, "slug").unwrap_or(name).to_owned(),
            uuid: text(&record, "uuid").unwrap_or_default().to_owned(),
            members: folder.lines("members.jsonl")?,
            record,
            repositories,
        })
    }
}

impl RepositoryFixture {
    fn load(folder: &FixtureFolder, name: &str, record: Value) -> Result<Self, SandboxError> {
        let Some(uuid) = text(&record, "uuid").map(str::to_owned) else {
            return Err(SandboxError::NoUuid {
                file: folder.place("repository.json"),
            });
        };
        let mut tables = BTreeMap::new();
        for table in TABLES {
            tables.insert(table, folder.lines(&format!("{table}.jsonl"))?);
        }
        let pull_request_commits = folder
            .lines::<PullRequestCommits>("pull_request_commits.jsonl")?
            .into_iter()
            .map(|line| (line.pull_request, line.hashes))
            .collect();
        let mut hashes = BTreeMap::new();
        for table in [COMMITS, UNLISTED] {
            for (row, commit) in tables.get(table).into_iter().flatten().enumerate() {
                if let Some(hash) = text(commit, "hash") {
                    hashes.insert(hash.to_owned(), (table, row));
                }
            }
        }
        Ok(Self {
            slug: text(&record, "slug").unwrap_or(name).to_owned(),
            uuid,
            record,
            tables,
            pull_request_commits,
            disabled: folder.json("disabled_features.json")?.unwrap_or_default(),
            hashes,
        })
    }

    pub(crate) fn table(&self, name: &str) -> &[Value] {
        self.tables.get(name).map_or(&[], Vec::as_slice)
    }

    /// Iterate over the reachable commits, then over those that only pull requests contain; newest first in both.
    pub(crate) fn commits(&self) -> impl Iterator<Item = &Value> {
        self.table(COMMITS).iter().chain(self.table(UNLISTED))
    }

    /// Find a commit by its hash or a unique prefix of at least seven characters.
    pub(crate) fn commit(&self, hash: &str) -> Option<&Value> {
        let mut found = self
            .hashes
            .range(hash.to_owned()..)
            .take_while(|(known, _)| known.starts_with(hash));
        let (known, (table, row)) = found.next()?;
        if known != hash && (hash.len() < 7 || found.next().is_some()) {
            return None;
        }
        self.table(table).get(*row)
    }

    pub(crate) fn is_private(&self) -> bool {
        self.record.get("is_private") != Some(&Value::Bool(false))
    }
}

/// Return the string member `key`.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// Return the value at the dotted `path`; `None` when a member is missing.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}
