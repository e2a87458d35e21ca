//! `domain.ref_commits`: the pairs of tags of a repository to compare.
//!
//! The tags whose name matches the pattern of the rules, in the order of the rules, are each paired with the next one.
//! The rules can name further pairs. A pair is skipped if the repository lacks one of its refs, because several
//! repositories share rules.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::row_reader::RowReader;
use super::row_writer::{Cell, RowWriter};
use super::tags::{self, OrderWarning, Tag};
use crate::engine::Engine;
use crate::error::{ErrorKind, OrError, Result};
use crate::transform::write::QueryFailure;

const TAGS: &str = "refs/tags/";
/// The rules of a repository that is not configured.
const DEFAULT: &str = "default";

const REFS: &str = "
    SELECT repo_id, id, name, commit_sha, ref_type, coalesce(created_date, commit_date) AS tagged_date
    FROM domain.refs
    WHERE commit_sha <> ''
    ORDER BY repo_id, id";
const RULES: &str = "
    SELECT rules, tags_pattern, tags_limit, tags_order
    FROM config.rules";
const PAIRS: &str = "
    SELECT rules, new_ref, old_ref
    FROM config.tag_pairs
    ORDER BY rules, new_ref, old_ref";
const REPOSITORIES: &str = "
    SELECT 'bitbucket:BitbucketRepo:' || cast(connection_id AS varchar) || ':' || full_name AS repo_id, rules
    FROM config.repositories";

pub(super) fn queries() -> Vec<String> {
    [REFS, RULES, PAIRS, REPOSITORIES].map(str::to_owned).into()
}

struct RefPairRules {
    pattern: Option<Regex>,
    /// The number of pairs of successive tags.
    limit: usize,
    order: String,
    /// Further pairs, as new and old name.
    pairs: Vec<(String, String)>,
}

/// The id of a ref and its commit.
type RefTarget = (String, String);

/// The refs of a repository.
#[derive(Default)]
struct RepositoryRefs {
    repository: String,
    tags: Vec<Tag>,
    /// The refs by every name that a rule can use.
    named: BTreeMap<String, RefTarget>,
}

impl RepositoryRefs {
    fn add(&mut self, id: &str, name: &str, commit: &str, ref_type: &str, date: Option<i64>) {
        let target = (id.to_owned(), commit.to_owned());
        let long = name.strip_prefix(TAGS);
        let is_tag = ref_type == "TAG" || ref_type.is_empty() && long.is_some();
        let short = long.unwrap_or(name);
        if is_tag {
            self.tags.push(Tag {
                name: short.to_owned(),
                id: id.to_owned(),
                commit: commit.to_owned(),
                date,
            });
            // A tag takes precedence over a branch of the same name.
            self.named.insert(short.to_owned(), target.clone());
        }
        for name in [name, id] {
            self.named
                .entry(name.to_owned())
                .or_insert_with(|| target.clone());
        }
    }

    /// Find the refs of a configured pair. Warn if the repository lacks one of them.
    fn find_pair(&self, (new, old): &(String, String)) -> Option<(&RefTarget, &RefTarget)> {
        let found = self.named.get(new).zip(self.named.get(old));
        if found.is_none() {
            tracing::warn!(
                repository = self.repository,
                new,
                old,
                "`tags.pairs` names a ref that the repository does not have"
            );
        }
        found
    }
}

pub(super) async fn fill(engine: &Engine, writer: &mut RowWriter) -> Result<(), QueryFailure> {
    let rules = rules(engine).await?;
    let assigned = assigned(engine).await?;
    let rules_of = |refs: &RepositoryRefs| {
        let name = assigned
            .get(&refs.repository)
            .map_or(DEFAULT, String::as_str);
        rules.get(name)
    };
    let mut refs = RepositoryRefs::default();
    let mut rows = RowReader::open(engine, REFS).await?;
    while let Some(batch) = rows.next().await? {
        let (repositories, ids) = (batch.texts(0)?, batch.texts(1)?);
        let (names, commits) = (batch.texts(2)?, batch.texts(3)?);
        let (types, dates) = (batch.texts(4)?, batch.numbers(5)?);
        for row in 0..batch.rows() {
            if refs.repository != repositories.text(row) {
                write(&refs, rules_of(&refs), writer).await?;
                refs = RepositoryRefs {
                    repository: repositories.text(row).to_owned(),
                    ..RepositoryRefs::default()
                };
            }
            refs.add(
                ids.text(row),
                names.text(row),
                commits.text(row),
                types.text(row),
                dates.get(row),
            );
        }
    }
    write(&refs, rules_of(&refs), writer).await?;
    Ok(())
}

async fn rules(engine: &Engine) -> Result<BTreeMap<String, RefPairRules>, QueryFailure> {
    let mut all = BTreeMap::new();
    let mut rows = RowReader::open(engine, RULES).await?;
    while let Some(batch) = rows.next().await? {
        let (names, patterns) = (batch.texts(0)?, batch.texts(1)?);
        let (limits, orders) = (batch.numbers(2)?, batch.texts(3)?);
        for row in 0..batch.rows() {
            let pattern = patterns.get(row).map(Regex::new).transpose();
            let pattern = pattern
                .or_error(
                    ErrorKind::Configuration,
                    "`tags.pattern` is not a regular expression",
                )
                .map_err(|error| error.with("rules", names.text(row)))?;
            let limit = limits.get(row).unwrap_or_default();
            let rules = RefPairRules {
                pattern,
                limit: usize::try_from(limit).unwrap_or_default(),
                order: orders.text(row).to_owned(),
                pairs: Vec::new(),
            };
            all.insert(names.text(row).to_owned(), rules);
        }
    }
    let mut rows = RowReader::open(engine, PAIRS).await?;
    while let Some(batch) = rows.next().await? {
        let (names, new_names, old_names) = (batch.texts(0)?, batch.texts(1)?, batch.texts(2)?);
        for row in 0..batch.rows() {
            if let Some(rules) = all.get_mut(names.text(row)) {
                let pair = (
                    new_names.text(row).to_owned(),
                    old_names.text(row).to_owned(),
                );
                rules.pairs.push(pair);
            }
        }
    }
    Ok(all)
}

/// Return the name of the rules of each configured repository.
async fn assigned(engine: &Engine) -> Result<BTreeMap<String, String>, QueryFailure> {
    let mut assigned = BTreeMap::new();
    let mut rows = RowReader::open(engine, REPOSITORIES).await?;
    while let Some(batch) = rows.next().await? {
        let (repositories, rules) = (batch.texts(0)?, batch.texts(1)?);
        for row in 0..batch.rows() {
            assigned.insert(
                repositories.text(row).to_owned(),
                rules.text(row).to_owned(),
            );
        }
    }
    Ok(assigned)
}

async fn write(
    refs: &RepositoryRefs,
    rules: Option<&RefPairRules>,
    writer: &mut RowWriter,
) -> Result<(), QueryFailure> {
    let Some(rules) = rules else {
        return Ok(());
    };
    let tags = successive_tags(refs, rules);
    let by_order = tags.windows(2).flat_map(<&[Tag; 2]>::try_from);
    let by_order = by_order.map(|[new, old]| {
        let (new, old) = ((&new.id, &new.commit), (&old.id, &old.commit));
        (new, old, "order")
    });
    let by_rule = rules.pairs.iter().filter_map(|pair| {
        let ((new, new_commit), (old, old_commit)) = refs.find_pair(pair)?;
        Some(((new, new_commit), (old, old_commit), "rule"))
    });
    let (mut ids, mut commits) = (BTreeSet::new(), BTreeSet::new());
    let mut index = 0;
    for (new, old, source) in by_order.chain(by_rule) {
        let is_new = ids.insert((new.0, old.0));
        // DevLake drops a configured pair that has the commits of an earlier pair.
        let same_commits = !commits.insert((new.1, old.1));
        if !is_new || source == "rule" && same_commits {
            continue;
        }
        index += 1;
        let row = [
            Cell::Text(new.0),
            Cell::Text(old.0),
            Cell::Text(new.1),
            Cell::Text(old.1),
            Cell::Text(&refs.repository),
            Cell::Number(index),
            Cell::Text(source),
        ];
        writer.push(row).await?;
    }
    Ok(())
}

/// Return the tags to pair, which are one more than the pairs.
fn successive_tags(refs: &RepositoryRefs, rules: &RefPairRules) -> Vec<Tag> {
    let Some(pattern) = &rules.pattern else {
        return Vec::new();
    };
    let mut matching: Vec<_> = refs
        .tags
        .iter()
        .filter(|tag| pattern.is_match(&tag.name))
        .cloned()
        .collect();
    let compared = rules.limit.saturating_add(1);
    let order_warning = tags::sort(&mut matching, &rules.order, compared);
    matching.truncate(compared);
    if let Some(warning) = order_warning.filter(|_| matching.len() > 1) {
        warn(&refs.repository, warning);
    }
    matching
}

fn warn(repository: &str, warning: OrderWarning) {
    match warning {
        OrderWarning::NoVersion { tags, example } => tracing::warn!(
            repository,
            tags,
            example,
            "some tags that match `tags.pattern` have no version, so all of them are ordered by date: \
             narrow the pattern to releases, or set `tags.order`"
        ),
        OrderWarning::NumbersInWords { strict, natural } => tracing::warn!(
            repository,
            strict,
            natural,
            "SemVer orders pre-releases such as `beta2` and `beta12` letter by letter: \
             set `tags.order = \"natural\"` to order them by number"
        ),
    }
}
