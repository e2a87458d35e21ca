//! Decides which steps keep their published table, because they would make the same rows again.
//!
//! ```text
//! definition   the step: its query, its contract with the configured layout, and this build of bitlake
//! content      a table: the SHA-256 of each of its files
//! made from    a published table: the definition of its step and of the base steps behind it, and the content of every
//!              other table that these read
//! ```
//!
//! A step that was made again with the same bytes has the same content, so the steps that read it keep theirs. What a step
//! reads of its own published rows does not count: over the same figures it adds nothing to them.

use std::collections::BTreeMap;
use std::fmt;

use datafusion::DATAFUSION_VERSION;

use super::run::TransformRun;
use super::steps::{BASE, PUBLISHED, Step, StepBody};
use super::{TransformOptions, damage};
use crate::digest::sha256_hex;
use crate::engine::TableName;
use crate::error::Result;
use crate::lake::{NextFile, NextTable, TableEntry};

/// The digest of each input of a table, and of the steps behind it, by name.
pub(super) type MadeFrom = BTreeMap<String, String>;

/// What a run does about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Keep the published table.
    Keep,
    /// Make the table.
    Make(Reason),
}

/// Why a table is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// The user wants every table made.
    Full,
    /// The table was never published.
    New,
    /// Files may be newer than the manifest, because a publish was interrupted.
    Interrupted,
    /// The manifest does not say what the table was made from.
    Unknown,
    /// A published file is missing or damaged.
    Damaged,
    /// These steps or inputs are not those that it was made from.
    Changed(Vec<String>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("every table is made"),
            Self::New => f.write_str("not published yet"),
            Self::Interrupted => f.write_str("the last publish was interrupted"),
            Self::Unknown => f.write_str("unknown what it was made from"),
            Self::Damaged => f.write_str("a published file is missing or damaged"),
            Self::Changed(names) => write!(f, "changed: {}", names.join(", ")),
        }
    }
}

impl TransformRun<'_> {
    /// Return whether the published table of a step is kept. `made_from`: what the step would be made from now.
    pub(super) fn decide(
        &self,
        step: &Step,
        made_from: &MadeFrom,
        options: &TransformOptions,
    ) -> Decision {
        let name = step.name.to_string();
        let manifest = &self.inventory.manifest;
        let mut damaged = self.inventory.damaged.keys();
        let reason = match self.before(&step.name) {
            _ if options.full || options.rebuild => Reason::Full,
            None => Reason::New,
            Some(_) if manifest.intent.is_some() => Reason::Interrupted,
            Some(_) if damaged.any(|path| damage::table(path) == name) => Reason::Damaged,
            Some(published) if published.made_from.is_empty() => Reason::Unknown,
            Some(published) if published.made_from == *made_from => return Decision::Keep,
            Some(published) => Reason::Changed(differing(&published.made_from, made_from)),
        };
        Decision::Make(reason)
    }

    /// Return what a step would be made from now. The tables that it reads must be final.
    ///
    /// # Errors
    /// As [`Step::reads`].
    pub(super) fn made_from(&self, step: &Step) -> Result<MadeFrom> {
        let mut made_from = MadeFrom::new();
        self.add_step(step, &mut made_from)?;
        Ok(made_from)
    }

    fn add_step(&self, step: &Step, made_from: &mut MadeFrom) -> Result<()> {
        made_from.insert(step.name.to_string(), definition(step));
        for (part, digest) in self.added_parts.get(&step.name).into_iter().flatten() {
            made_from.insert(part.clone(), digest.clone());
        }
        for read in step.reads(&self.engine)? {
            let name = read.to_string();
            if read.layer == PUBLISHED || made_from.contains_key(&name) {
                continue;
            }
            match self.base_step(read) {
                Some(base) => self.add_step(base, made_from)?,
                None => {
                    made_from.insert(name, self.content(read));
                }
            }
        }
        Ok(())
    }

    /// Return the step of a base table that is not stored, unless a `[[table]]` gives its rows.
    pub(super) fn base_step(&self, name: &TableName) -> Option<&Step> {
        let step = self.steps.get(name)?;
        (step.is_base() && !step.is_stored && !self.contents.contains_key(name)).then_some(step)
    }

    /// Return the entry of a table as the last transform published or stored it.
    pub(super) fn before(&self, name: &TableName) -> Option<&TableEntry> {
        let text = name.to_string();
        match name.layer == BASE {
            true => self.stored.get(&text),
            false => self.inventory.manifest.table(&text),
        }
    }

    /// Return the digest of a final table, or of a table as it is published.
    pub(super) fn content(&self, name: &TableName) -> String {
        let known = self.contents.get(name).cloned();
        known.unwrap_or_else(|| match name.layer == BASE {
            true => published_content(self.before(name)),
            false => published_content(self.manifest.table(&name.to_string())),
        })
    }

    /// Return the digest of a table that is to be published.
    pub(super) fn content_of(&self, name: &TableName, table: &NextTable) -> String {
        let published = self.before(name);
        content(table.files.iter().map(|(path, file)| {
            let kept = published.and_then(|published| published.files.get(path));
            let sha256 = match file {
                NextFile::Staged(written) => written.sha256.as_str(),
                NextFile::Kept => kept.map_or("", |entry| entry.sha256.as_str()),
            };
            (path.as_str(), sha256)
        }))
    }
}

/// Return the digest of a table as the last transform left it; that of no files if there was none.
pub(super) fn published_content(table: Option<&TableEntry>) -> String {
    let files = table.into_iter().flat_map(|table| &table.files);
    content(files.map(|(path, entry)| (path.as_str(), entry.sha256.as_str())))
}

/// Return the digest of a table: that of the path and the SHA-256 of each file.
pub(super) fn content<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let lines: Vec<_> = files
        .map(|(path, sha256)| format!("{path} {sha256}\n"))
        .collect();
    sha256_hex(lines.concat())
}

/// Return the digest of everything but the inputs that the rows and bytes of a step depend on. The parameters of a run are
/// not part of it.
fn definition(step: &Step) -> String {
    let work = match &step.work {
        StepBody::Sql(sql) => sql.as_str(),
        StepBody::Native(native) => native.table(),
    };
    let contract = step.contract.as_ref();
    let (version, format) =
        contract.map_or((0, String::new()), |it| (it.version, it.file_format()));
    build_digest(&format!("{version}\n{format}\n{work}"))
}

/// Return the digest of a text and of this build of bitlake, whose code gives the text its meaning.
pub(super) fn build_digest(text: &str) -> String {
    let build = env!("BITLAKE_BUILD");
    sha256_hex(format!("{build}\n{DATAFUSION_VERSION}\n{text}"))
}

/// Return the names whose digests differ, or that only one of both has.
fn differing(published: &MadeFrom, now: &MadeFrom) -> Vec<String> {
    let changed = now
        .iter()
        .filter(|(name, digest)| published.get(*name) != Some(*digest));
    let gone = published.keys().filter(|name| !now.contains_key(*name));
    changed.map(|(name, _)| name).chain(gone).cloned().collect()
}
