//! What `git log -z` prints, read as it arrives: commits of any number need the memory of a few.
//!
//! ```text
//! \x01hash NUL parents NUL … message NUL NUL  \n:old new oids status NUL path NUL …   (--raw)
//! \x01hash NUL NUL                            \nadded TAB deleted TAB path NUL …      (--numstat)
//! ```
//!
//! A message holds anything but NUL, and so does a path: what a piece means is known by its place alone.

use chrono::{DateTime, Utc};

use crate::error::{Error, ErrorKind, Result};

/// For `--format`: what [`GitCommit`] is made of.
pub(super) const FORMAT: &str =
    "--format=tformat:%x01%H%x00%P%x00%an <%ae>%x00%at%x00%cn <%ce>%x00%ct%x00%B%x00";
const FIELDS: usize = 7;

/// For `--format` beside `--numstat`.
pub(super) const HASH_ONLY: &str = "--format=tformat:%x01%H%x00";
const HASH_FIELDS: usize = 1;

/// A commit as git has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCommit {
    pub hash: String,
    pub parents: Vec<String>,
    /// `Name <e-mail>`.
    pub author: String,
    pub author_date: Option<DateTime<Utc>>,
    pub committer: String,
    pub committer_date: Option<DateTime<Utc>>,
    pub message: String,
    /// Against the first parent, or against nothing for a root; a moved file is one removed and one added.
    pub changes: Vec<ChangedFile>,
}

/// A file that a commit changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Bytes that are no UTF-8 are replaced.
    pub path: String,
    pub kind: ChangeKind,
    /// Of a text, where lines were counted.
    pub lines: Option<LineCounts>,
    /// The contents before and after; none of a submodule.
    pub(super) blobs: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Removed,
    Modified,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineCounts {
    pub added: u64,
    pub deleted: u64,
}

/// The line counts of a commit: of each path, none for a binary.
pub(super) struct Counts {
    pub(super) hash: String,
    pub(super) files: Vec<(String, Option<LineCounts>)>,
}

/// Cuts the output into commits.
pub(super) struct Reader {
    fields: usize,
    rest: Vec<u8>,
    open: Option<Entry>,
}

/// One commit's pieces.
#[derive(Default)]
struct Entry {
    fields: Vec<String>,
    changes: Vec<(String, String)>,
    /// Of a change whose path comes next.
    change: Option<String>,
}

impl Reader {
    pub(super) fn of_commits() -> Self {
        Self::new(FIELDS)
    }

    pub(super) fn of_counts() -> Self {
        Self::new(HASH_FIELDS)
    }

    fn new(fields: usize) -> Self {
        Self {
            fields,
            rest: Vec::new(),
            open: None,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<Entry> {
        let mut done = Vec::new();
        let mut pieces = bytes.split(|byte| *byte == 0);
        // Without a NUL behind it, the last piece goes on in the next bytes.
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            let piece = match self.rest.is_empty() {
                true => lossy(piece),
                false => {
                    self.rest.extend(piece);
                    lossy(&std::mem::take(&mut self.rest))
                }
            };
            done.extend(self.take(piece));
        }
        self.rest.extend(last);
        done
    }

    /// Takes a piece; returns the commit before, when it begins another.
    fn take(&mut self, piece: String) -> Option<Entry> {
        if let Some(entry) = &mut self.open {
            if entry.fields.len() < self.fields {
                entry.fields.push(piece);
                return None;
            }
            if let Some(change) = entry.change.take() {
                entry.changes.push((change, piece));
                return None;
            }
        }
        if let Some(hash) = piece.strip_prefix('\x01') {
            let entry = Entry {
                fields: vec![hash.to_owned()],
                ..Entry::default()
            };
            return self.open.replace(entry);
        }
        let entry = self.open.as_mut()?;
        let change = piece.strip_prefix('\n').unwrap_or(&piece);
        if change.starts_with(':') {
            entry.change = Some(change.to_owned());
        } else if let Some((counts, path)) = split_counts(change) {
            entry.changes.push((counts.to_owned(), path.to_owned()));
        }
        None
    }

    fn end(&mut self) -> Option<Entry> {
        self.open.take()
    }

    pub(super) fn commits(&mut self, bytes: &[u8]) -> Result<Vec<GitCommit>> {
        self.push(bytes).into_iter().map(commit).collect()
    }

    pub(super) fn last_commit(&mut self) -> Result<Option<GitCommit>> {
        self.end().map(commit).transpose()
    }

    pub(super) fn counts(&mut self, bytes: &[u8]) -> Vec<Counts> {
        self.push(bytes).into_iter().filter_map(counts).collect()
    }

    pub(super) fn last_counts(&mut self) -> Option<Counts> {
        self.end().and_then(counts)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `3\t1\tpath` as `3\t1` and `path`, which may have tabs of its own.
fn split_counts(text: &str) -> Option<(&str, &str)> {
    let (end, _) = text.match_indices('\t').nth(1)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

fn commit(entry: Entry) -> Result<GitCommit> {
    let odd = || {
        Error::new(ErrorKind::Internal, "cannot read what git prints")
            .hint("please report this with the version of git")
    };
    let fields: [String; FIELDS] = entry.fields.try_into().map_err(|_| odd())?;
    let [
        hash,
        parents,
        author,
        authored,
        committer,
        committed,
        message,
    ] = fields;
    let mut changes: Vec<ChangedFile> = Vec::with_capacity(entry.changes.len());
    for (raw, path) in entry.changes {
        let change = change(&raw, path).ok_or_else(odd)?;
        match changes.iter_mut().rfind(|known| known.path == change.path) {
            // Two paths that differ in what is no UTF-8 only.
            Some(known) if change.path.contains('\u{fffd}') => known.blobs.extend(change.blobs),
            _ => changes.push(change),
        }
    }
    Ok(GitCommit {
        hash,
        parents: parents.split_whitespace().map(str::to_owned).collect(),
        author,
        author_date: time(&authored),
        committer,
        committer_date: time(&committed),
        message,
        changes,
    })
}

fn time(seconds: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds.parse().ok()?, 0)
}

/// `:100644 100644 <old> <new> M`.
fn change(raw: &str, path: String) -> Option<ChangedFile> {
    const SUBMODULE: &str = "160000";
    let mut words = raw.strip_prefix(':')?.split(' ');
    let [before, after, old, new, status] = std::array::from_fn(|_| words.next().unwrap_or(""));
    let blobs = [(before, old), (after, new)].into_iter();
    let there = |blob: &&str| blob.bytes().any(|byte| byte != b'0');
    let blobs = blobs.filter_map(|(mode, blob)| (mode != SUBMODULE).then_some(blob));
    Some(ChangedFile {
        path,
        kind: match status.bytes().next()? {
            b'A' => ChangeKind::Added,
            b'D' => ChangeKind::Removed,
            _ => ChangeKind::Modified,
        },
        lines: None,
        blobs: blobs.filter(there).map(str::to_owned).collect(),
    })
}

fn counts(entry: Entry) -> Option<Counts> {
    let lines = |counts: &str| {
        let (added, deleted) = counts.split_once('\t')?;
        Some(LineCounts {
            added: added.parse().ok()?,
            deleted: deleted.parse().ok()?,
        })
    };
    let files = entry.changes.into_iter();
    Some(Counts {
        hash: entry.fields.into_iter().next()?,
        files: files.map(|(n, path)| (path, lines(&n))).collect(),
    })
}
