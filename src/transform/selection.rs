//! Finds the repositories and projects whose rows may differ from the published ones.
//!
//! ```text
//! changed repositories    those with a source file that is another than the published one
//! repositories            these, and those that have, deploy or tag a commit of one of them, or have its UUID, and so on
//! projects                the projects of these; their repositories, and those that have a commit in common with them …
//! ```
//!
//! A row of a repository (of a project) that is selected depends on rows of selected repositories only, and no other row
//! depends on them.

use std::collections::{BTreeMap, BTreeSet};

use super::incremental::{Incremental, RowOwner};
use super::kept::published_content;
use super::run::TransformRun;
use super::settings;
use crate::config::{AssignedRepository, EntityGroup, RepositoryIdentity};
use crate::engine::{Engine, TableName, text_literal};
use crate::error::Result;
use crate::lake::NextFile;
use crate::lake::layout::source_file;
use crate::schema::SourceTable;

/// Parts are made if at most one of so many repositories is selected. Otherwise making everything costs less.
const SHARE: usize = 4;

/// The domain tables that know which commits a repository has, deploys or names in tags.
pub(super) const COMMIT_TABLES: [&str; 3] =
    ["repo_commits", "cicd_deployment_commits", "ref_commits"];
/// The commits that new records of a repository name.
const NEW_COMMITS: [(&str, &str); 5] = [
    ("commits", "hash"),
    ("pull_request_commits", "hash"),
    ("pipelines", "target['commit']['hash']"),
    ("deployments", "release['commit']['hash']"),
    ("tags", "target['hash']"),
];

/// Repositories, and the projects that consist of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Connection and full name.
    names: BTreeSet<(i64, String)>,
    projects: BTreeSet<String>,
    repository_ids: BTreeSet<String>,
    raw_data_params: BTreeSet<String>,
    uuids: BTreeSet<String>,
    /// Connection and UUID: `1 {uuid}`.
    connected_uuids: BTreeSet<String>,
}

impl Selection {
    fn add(&mut self, repository: &AssignedRepository) {
        let found = &repository.found;
        self.names
            .insert((found.connection_id, found.full_name.clone()));
        self.projects.extend(repository.projects.iter().cloned());
        self.repository_ids.insert(settings::repo_id(found));
        self.raw_data_params
            .insert(settings::raw_data_params(found));
        self.uuids.insert(found.uuid.clone());
        self.connected_uuids
            .insert(format!("{} {}", found.connection_id, found.uuid));
    }

    fn has(&self, found: &RepositoryIdentity) -> bool {
        let name = (found.connection_id, found.full_name.clone());
        self.names.contains(&name)
    }

    /// Return the number of selected repositories or projects.
    pub(super) fn count(&self, scope: RowOwner) -> usize {
        match scope {
            RowOwner::Repository => self.names.len(),
            RowOwner::Project => self.projects.len(),
        }
    }

    /// Return the source files of the repositories in a source table.
    pub(super) fn source_files(&self, table: &str) -> BTreeSet<String> {
        let names = self.names.iter();
        names
            .map(|(connection, full_name)| source_file(table, *connection, full_name))
            .collect()
    }

    /// Return the conditions by which rows belong to one of the repositories or projects; `None` if the step does not say
    /// which column tells. `rows_of`: the name of a table with their rows only.
    pub(super) fn conditions(
        &self,
        incremental: &Incremental,
        rows_of: impl Fn(&TableName) -> String,
    ) -> Option<Conditions> {
        let column = incremental.column.as_deref()?;
        let quoted = format!("\"{column}\"");
        if !incremental.known_from.is_empty() {
            let known = incremental.known_from.iter().map(|(table, column)| {
                let table = rows_of(table);
                format!("SELECT \"{column}\" AS known FROM {table} WHERE \"{column}\" IS NOT NULL")
            });
            let known = known.collect::<Vec<_>>().join(" UNION ALL ");
            return Some(Conditions {
                selected: format!("{quoted} IN ({known})"),
                others: format!("{quoted} NOT IN ({known})"),
            });
        }
        let selected = match column {
            "project_name" => is_one_of(&quoted, &self.projects),
            "_raw_data_params" => is_one_of(&quoted, &self.raw_data_params),
            "repository_uuid" => {
                let of_connection = "concat(cast(connection_id AS varchar), ' ', repository_uuid)";
                is_one_of(of_connection, &self.connected_uuids)
            }
            "repo_id" | "base_repo_id" | "cicd_scope_id" => {
                is_one_of(&quoted, &self.repository_ids)
            }
            // The id of something in a repository: bitbucket:BitbucketPullRequest:1:acme/web:17.
            _ => {
                let names = self.names.iter();
                let names = names.map(|(connection, name)| format!("{connection}:{name}"));
                let name = format!(
                    "concat(split_part({quoted}, ':', 3), ':', split_part({quoted}, ':', 4))"
                );
                is_one_of(&name, &names.collect())
            }
        };
        let others = format!("({selected}) IS NOT TRUE");
        Some(Conditions { selected, others })
    }
}

/// Which rows of a table belong to a selection, as SQL.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    /// They belong to it.
    pub(super) selected: String,
    /// They do not.
    pub(super) others: String,
}

fn is_one_of(expression: &str, texts: &BTreeSet<String>) -> String {
    if texts.is_empty() {
        return "FALSE".to_owned();
    }
    let literals: Vec<_> = texts.iter().map(|text| text_literal(text)).collect();
    format!("{expression} IN ({})", literals.join(", "))
}

/// How the repositories of a run are related.
struct Repositories<'a> {
    all: &'a [AssignedRepository],
    /// The schema `bitbucket` has the new commits of the changed repositories, and `domain` the published ones of all.
    commits: Engine,
}

impl Repositories<'_> {
    /// Add what is related to the selected repositories, and what is related to that. `None` if these are too many. `known`:
    /// the ids of repositories whose related ones are selected already.
    async fn closed(
        &self,
        mut selection: Selection,
        scope: RowOwner,
        known: &mut BTreeSet<String>,
    ) -> Result<Option<Selection>> {
        loop {
            for repository in self.all {
                let shares_project = || {
                    let mut projects = repository.projects.iter();
                    projects.any(|project| selection.projects.contains(project))
                };
                // Two connections may collect one repository.
                if selection.uuids.contains(&repository.found.uuid)
                    || (scope == RowOwner::Project && shares_project())
                {
                    selection.add(repository);
                }
            }
            if selection.names.len().saturating_mul(SHARE) > self.all.len() {
                return Ok(None);
            }
            let added: BTreeSet<_> = selection
                .repository_ids
                .difference(known)
                .cloned()
                .collect();
            if added.is_empty() {
                return Ok(Some(selection));
            }
            let sharing = self.sharing_commits(&added, &selection).await?;
            for repository in self.all {
                if sharing.contains(&settings::repo_id(&repository.found)) {
                    selection.add(repository);
                }
            }
            known.extend(added);
        }
    }

    /// Return the ids of the repositories outside the selection that have a commit of the `added` ones.
    async fn sharing_commits(
        &self,
        added: &BTreeSet<String>,
        selection: &Selection,
    ) -> Result<BTreeSet<String>> {
        let is_added = is_one_of("repo_id", added);
        let is_selected = is_one_of("repo_id", &selection.repository_ids);
        let new = NEW_COMMITS.map(|(table, column)| {
            format!(
                "SELECT {column} AS commit_sha FROM {}.{table}",
                SourceTable::LAYER
            )
        });
        let sql = format!(
            "WITH known AS ( \
             SELECT repo_id, commit_sha FROM domain.repo_commits UNION ALL \
             SELECT cicd_scope_id, commit_sha FROM domain.cicd_deployment_commits UNION ALL \
             SELECT repo_id, new_commit_sha FROM domain.ref_commits), \
             own AS ({} UNION ALL SELECT commit_sha FROM known WHERE {is_added}) \
             SELECT DISTINCT repo_id FROM known WHERE NOT ({is_selected}) AND commit_sha <> '' \
             AND commit_sha IN (SELECT commit_sha FROM own WHERE commit_sha IS NOT NULL)",
            new.join(" UNION ALL ")
        );
        let ids = self.commits.query_texts(&sql).await?;
        Ok(ids.into_iter().collect())
    }
}

impl TransformRun<'_> {
    /// Return what may differ, by repositories and by projects. A scope of which too much may differ is left out.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`](crate::error::ErrorKind::Lake) when commits cannot be read.
    pub(super) async fn selections(&self) -> Result<BTreeMap<RowOwner, Selection>> {
        let mut selections = BTreeMap::new();
        // The commits of a repository that does not export code are not known, so neither is what it is related to.
        let exports_code = |repository: &AssignedRepository| {
            let rules = self.config.rules.get(&repository.rules);
            rules.is_some_and(|rules| rules.entities.contains(&EntityGroup::Code))
        };
        if !self.repositories.iter().all(exports_code) {
            return Ok(selections);
        }
        let Some(changed) = self.changed_repositories() else {
            return Ok(selections);
        };
        let repositories = Repositories {
            all: self.repositories,
            commits: self.commits_of(&changed)?,
        };
        let mut known = BTreeSet::new();
        let mut selection = changed;
        for scope in [RowOwner::Repository, RowOwner::Project] {
            let Some(closed) = repositories.closed(selection, scope, &mut known).await? else {
                break;
            };
            selections.insert(scope, closed.clone());
            selection = closed;
        }
        Ok(selections)
    }

    /// Return the repositories with a changed source file; `None` if there are none, or if the settings of a repository are
    /// other ones than at the last publish.
    fn changed_repositories(&self) -> Option<Selection> {
        let settings = TableName::new("config", "repositories");
        if self.content(&settings) != published_content(self.before(&settings)) {
            return None;
        }
        let mut changed = Selection::default();
        for contract in self.contracts.layer(SourceTable::LAYER) {
            let paths = self.changed_files(&contract.name());
            for repository in self.repositories {
                let RepositoryIdentity {
                    connection_id,
                    full_name,
                    ..
                } = &repository.found;
                let path = source_file(&contract.table, *connection_id, full_name);
                if paths.contains(&path) && !changed.has(&repository.found) {
                    changed.add(repository);
                }
            }
        }
        (!changed.names.is_empty()).then_some(changed)
    }

    /// Return the files of a source table (`layer.table`) that are other ones than published. The empty file of a table
    /// without rows does not count.
    pub(super) fn changed_files(&self, name: &str) -> BTreeSet<String> {
        let published = self.inventory.manifest.table(name).map(|it| &it.files);
        let now = self.tables.get(name).map(|table| &table.files);
        let is_same = |path: &String, file: &NextFile| match file {
            NextFile::Kept => true,
            NextFile::Staged(written) => {
                let before = published.and_then(|files| files.get(path));
                before.is_some_and(|before| before.sha256 == written.sha256)
            }
        };
        let now_or_none = now.into_iter().flatten();
        let new = now_or_none.filter(|(path, file)| !is_same(path, file));
        let gone = published.into_iter().flat_map(BTreeMap::keys);
        let gone = gone.filter(|path| now.is_none_or(|now| !now.contains_key(*path)));
        let mut changed: BTreeSet<String> =
            new.map(|(path, _)| path).chain(gone).cloned().collect();
        changed.retain(|path| path.contains('='));
        changed
    }

    fn commits_of(&self, changed: &Selection) -> Result<Engine> {
        let commits = self.engine.without_tables()?;
        for (table, _) in NEW_COMMITS {
            let contract = self.contracts.require(SourceTable::LAYER, table)?;
            let paths = changed.source_files(table);
            let files = self
                .final_files_where(&TableName::new(SourceTable::LAYER, table), |path| {
                    paths.contains(path)
                })?;
            commits.register(contract, &files)?;
        }
        for table in COMMIT_TABLES {
            let contract = self.contracts.require("domain", table)?;
            let files = self.published_files(&TableName::new("domain", table), |_| true)?;
            commits.register(contract, &files)?;
        }
        Ok(commits)
    }
}
