//! An incremental parser of `git log -z`, which needs the memory of a few commits only.
//!
//! ```text
//! \x01hash NUL parents NUL … message NUL NUL  \n:old new oids status NUL path NUL …   (--raw)
//! \x01hash NUL NUL                            \nadded TAB deleted TAB path NUL …      (--numstat)
//! ```
//!
//! A message may contain any byte but NUL, and so may a path: the meaning of a field follows from its position only.

use chrono::{DateTime, Utc};

use crate::error::{Error, ErrorKind, Result};

/// The `--format` of a [`GitCommit`].
pub(super) const FORMAT: &str =
    "--format=tformat:%x01%H%x00%P%x00%an <%ae>%x00%at%x00%cn <%ce>%x00%ct%x00%B%x00";
const FIELDS: usize = 7;

/// The `--format` of [`CommitLineCounts`].
pub(super) const HASH_ONLY: &str = "--format=tformat:%x01%H%x00";
const HASH_FIELDS: usize = 1;

/// The mode of a submodule in a raw diff.
const SUBMODULE: &str = "160000";

/// A commit as git stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCommit {
    /// The hash, in hexadecimal.
    pub hash: String,
    /// The hashes of the parents, the first parent first.
    pub parents: Vec<String>,
    /// `Name <e-mail>`.
    pub author: String,
    /// `None` when the commit has no valid time.
    pub author_date: Option<DateTime<Utc>>,
    /// `Name <e-mail>`.
    pub committer: String,
    /// `None` when the commit has no valid time.
    pub committer_date: Option<DateTime<Utc>>,
    /// The message; bytes that are not UTF-8 are replaced.
    pub message: String,
    /// The files that differ from the first parent, or all files of a root commit. A moved file counts as removed and
    /// added.
    pub changes: Vec<ChangedFile>,
}

/// A file that a commit changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// The path; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// What the commit does to the file.
    pub kind: ChangeKind,
    /// The changed lines; `None` for a binary file, and when lines are not counted.
    pub lines: Option<LineCounts>,
    /// The hashes of the contents before and after; none for a submodule.
    pub(super) blobs: Vec<String>,
}

/// What a commit does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The file is new.
    Added,
    /// The file is deleted.
    Removed,
    /// The contents or the mode differ.
    Modified,
}

/// The changed lines of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Added lines.
    pub added: u64,
    /// Deleted lines.
    pub deleted: u64,
}

/// The changed lines of a commit by path; `None` for a binary file.
pub(super) struct CommitLineCounts {
    pub(super) hash: String,
    pub(super) files: Vec<(String, Option<LineCounts>)>,
}

/// A parser that receives the output in chunks.
pub(super) struct LogParser {
    /// Fields before the changes of a commit.
    fields: usize,
    /// The start of a field whose end has not arrived.
    incomplete: Vec<u8>,
    current: Option<LogEntry>,
}

/// The unparsed parts of one commit.
#[derive(Default)]
struct LogEntry {
    fields: Vec<String>,
    /// Each change with its path.
    changes: Vec<(String, String)>,
    /// A change whose path has not arrived.
    change: Option<String>,
}

impl LogParser {
    /// Create a parser for [`FORMAT`] and `--raw`.
    pub(super) fn of_commits() -> Self {
        Self::new(FIELDS)
    }

    /// Create a parser for [`HASH_ONLY`] and `--numstat`.
    pub(super) fn of_line_counts() -> Self {
        Self::new(HASH_FIELDS)
    }

    fn new(fields: usize) -> Self {
        Self {
            fields,
            incomplete: Vec::new(),
            current: None,
        }
    }

    /// Parse a chunk. Return the commits that are complete.
    pub(super) fn parse_commits(&mut self, chunk: &[u8]) -> Result<Vec<GitCommit>> {
        self.push(chunk).into_iter().map(to_commit).collect()
    }

    /// Return the last commit, after the last chunk.
    pub(super) fn finish_commits(&mut self) -> Result<Option<GitCommit>> {
        self.current.take().map(to_commit).transpose()
    }

    /// Parse a chunk. Return the line counts that are complete.
    pub(super) fn parse_line_counts(&mut self, chunk: &[u8]) -> Vec<CommitLineCounts> {
        let entries = self.push(chunk).into_iter();
        entries.filter_map(to_line_counts).collect()
    }

    /// Return the last line counts, after the last chunk.
    pub(super) fn finish_line_counts(&mut self) -> Option<CommitLineCounts> {
        self.current.take().and_then(to_line_counts)
    }

    fn push(&mut self, chunk: &[u8]) -> Vec<LogEntry> {
        let mut complete = Vec::new();
        let mut fields = chunk.split(|byte| *byte == 0);
        // The last field has no NUL yet and continues in the next chunk.
        let last = fields.next_back().unwrap_or_default();
        for field in fields {
            let field = if self.incomplete.is_empty() {
                to_text(field)
            } else {
                self.incomplete.extend(field);
                to_text(&std::mem::take(&mut self.incomplete))
            };
            complete.extend(self.add_field(field));
        }
        self.incomplete.extend(last);
        complete
    }

    /// Add a field. Return the commit before it when the field starts another commit.
    fn add_field(&mut self, field: String) -> Option<LogEntry> {
        if let Some(entry) = &mut self.current {
            if entry.fields.len() < self.fields {
                entry.fields.push(field);
                return None;
            }
            if let Some(change) = entry.change.take() {
                entry.changes.push((change, field));
                return None;
            }
        }
        if let Some(hash) = field.strip_prefix('\x01') {
            let entry = LogEntry {
                fields: vec![hash.to_owned()],
                ..LogEntry::default()
            };
            return self.current.replace(entry);
        }
        let entry = self.current.as_mut()?;
        let change = field.strip_prefix('\n').unwrap_or(&field);
        if change.starts_with(':') {
            entry.change = Some(change.to_owned());
        } else if let Some((counts, path)) = split_counts(change) {
            entry.changes.push((counts.to_owned(), path.to_owned()));
        }
        None
    }
}

fn to_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Split `3\t1\tpath` into `3\t1` and `path`, which may contain tabs.
fn split_counts(text: &str) -> Option<(&str, &str)> {
    let (end, _) = text.match_indices('\t').nth(1)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

fn to_commit(entry: LogEntry) -> Result<GitCommit> {
    let unexpected = || {
        Error::new(ErrorKind::Internal, "cannot parse the output of git")
            .hint("please report this with the version of git")
    };
    let fields: [String; FIELDS] = entry.fields.try_into().map_err(|_| unexpected())?;
    let [
        hash,
        parents,
        author,
        author_time,
        committer,
        committer_time,
        message,
    ] = fields;
    let mut changes: Vec<ChangedFile> = Vec::with_capacity(entry.changes.len());
    for (raw, path) in entry.changes {
        let change = to_change(&raw, path).ok_or_else(unexpected)?;
        match changes.iter_mut().rfind(|known| known.path == change.path) {
            // Two paths that differ only in bytes that are not UTF-8.
            Some(known) if change.path.contains('\u{fffd}') => known.blobs.extend(change.blobs),
            _ => changes.push(change),
        }
    }
    Ok(GitCommit {
        hash,
        parents: parents.split_whitespace().map(str::to_owned).collect(),
        author,
        author_date: to_time(&author_time),
        committer,
        committer_date: to_time(&committer_time),
        message,
        changes,
    })
}

fn to_time(seconds: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds.parse().ok()?, 0)
}

/// Parse `:100644 100644 <old> <new> M`.
fn to_change(raw: &str, path: String) -> Option<ChangedFile> {
    let mut words = raw.strip_prefix(':')?.split(' ');
    let [old_mode, new_mode, old, new, status] =
        std::array::from_fn(|_| words.next().unwrap_or(""));
    let exists = |blob: &&str| blob.bytes().any(|byte| byte != b'0');
    let blobs = [(old_mode, old), (new_mode, new)].into_iter();
    let blobs = blobs.filter_map(|(mode, blob)| (mode != SUBMODULE).then_some(blob));
    Some(ChangedFile {
        path,
        kind: match status.bytes().next()? {
            b'A' => ChangeKind::Added,
            b'D' => ChangeKind::Removed,
            _ => ChangeKind::Modified,
        },
        lines: None,
        blobs: blobs.filter(exists).map(str::to_owned).collect(),
    })
}

fn to_line_counts(entry: LogEntry) -> Option<CommitLineCounts> {
    let parse = |counts: &str| {
        let (added, deleted) = counts.split_once('\t')?;
        Some(LineCounts {
            added: added.parse().ok()?,
            deleted: deleted.parse().ok()?,
        })
    };
    let changes = entry.changes.into_iter();
    Some(CommitLineCounts {
        hash: entry.fields.into_iter().next()?,
        files: changes
            .map(|(counts, path)| (path, parse(&counts)))
            .collect(),
    })
}
