//! Assigns each discovered repository its rule set and its projects.
//!
//! A pattern that matches nothing is an error instead of a warning, because metrics that silently lack a repository
//! mislead their reader.

use std::collections::BTreeMap;

use super::load::Config;
use super::patterns::RepositoryPattern;
use super::project::{Project, RepositorySelection};
use crate::error::Result;
use crate::suggest;

/// A repository that the server lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryIdentity {
    /// The `id` of the connection that lists the repository.
    pub connection_id: i64,
    /// `workspace/slug`.
    pub full_name: String,
    /// Bitbucket's UUID, in braces.
    pub uuid: String,
    /// The key of the repository's Bitbucket project.
    pub bitbucket_project: Option<String>,
}

/// A repository with its rule set and its projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedRepository {
    /// The repository.
    pub found: RepositoryIdentity,
    /// The name of the rule set.
    pub rules: String,
    /// The names of the projects, in the order of the file.
    pub projects: Vec<String>,
}

impl Config {
    /// Return the repositories that a `[[repositories]]` selects, in the order of `found`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Configuration`], with the line, if a repository has two rule sets, or if a pattern or
    /// a key of a project matches no selected repository.
    pub fn assign(&self, found: &[RepositoryIdentity]) -> Result<Vec<AssignedRepository>> {
        let mut assigned = Vec::new();
        for repository in found {
            if let Some(rules) = self.rules_for(repository)? {
                assigned.push(AssignedRepository {
                    found: repository.clone(),
                    rules: rules.to_owned(),
                    projects: Vec::new(),
                });
            }
        }
        for project in &self.projects {
            self.check_project(project, &assigned)?;
            for repository in &mut assigned {
                if is_in(project, &repository.found) {
                    repository.projects.push(project.name.clone());
                }
            }
        }
        Ok(assigned)
    }

    /// Whether a `[[repositories]]` selects the repository `full_name` (`workspace/slug`) of a connection.
    pub fn is_selected(&self, connection_id: i64, full_name: &str) -> bool {
        let mut connections = self.connections.iter();
        let connection = connections.find(|connection| connection.id == connection_id);
        connection.is_some_and(|connection| {
            let mut selections = self.repositories.iter();
            selections.any(|it| it.connection == connection.name && it.selects(full_name))
        })
    }

    /// Return the name of the rule set that applies to `repository`; `None` if no `[[repositories]]` selects it.
    fn rules_for(&self, repository: &RepositoryIdentity) -> Result<Option<&str>> {
        let connections: BTreeMap<&str, i64> = self
            .connections
            .iter()
            .map(|connection| (connection.name.as_str(), connection.id))
            .collect();
        let mut chosen: Option<&RepositorySelection> = None;
        for selection in &self.repositories {
            if connections.get(selection.connection.as_str()) != Some(&repository.connection_id)
                || !selection.selects(&repository.full_name)
            {
                continue;
            }
            match chosen {
                Some(first) if first.rules != selection.rules => {
                    return Err(selection
                        .place
                        .error(format!(
                            "{} has two rule sets, `{}` at {} and `{}` at {}",
                            repository.full_name,
                            first.rules,
                            first.place,
                            selection.rules,
                            selection.place
                        ))
                        .hint("exclude the repository from one of them"));
                }
                Some(_) => {}
                None => chosen = Some(selection),
            }
        }
        Ok(chosen.map(|selection| selection.rules.as_str()))
    }

    /// Check that every pattern and key of `project` matches a repository of `assigned`.
    fn check_project(&self, project: &Project, assigned: &[AssignedRepository]) -> Result<()> {
        for pattern in &project.repositories {
            let mut names = assigned.iter().map(|a| a.found.full_name.as_str());
            if names.any(|name| pattern.matches(name)) {
                continue;
            }
            let (text, name) = (&pattern.text, &project.name);
            if !self.may_be_selected(pattern) {
                return Err(pattern
                    .place
                    .error(format!(
                        "no [[repositories]] selects `{text}` of the project `{name}`"
                    ))
                    .hint("add the pattern to `include` of a [[repositories]]"));
            }
            let error = pattern.place.error(format!(
                "`{text}` of the project `{name}` matches no repository"
            ));
            let names = assigned.iter().map(|a| a.found.full_name.as_str());
            return Err(match suggest::closest(text, names) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error
                    .hint("correct or remove the pattern; `bitlake repos` lists the repositories"),
            });
        }
        for key in &project.bitbucket_projects {
            if !assigned.iter().any(|a| has_project_key(&a.found, key)) {
                return Err(project
                    .place
                    .error(format!(
                        "no selected repository belongs to the Bitbucket project `{key}` of the project `{}`",
                        project.name
                    ))
                    .hint("correct or remove the key; Bitbucket shows it in the project's URL"));
            }
        }
        Ok(())
    }

    /// Return whether a selection could include a repository that `pattern` matches.
    fn may_be_selected(&self, pattern: &RepositoryPattern) -> bool {
        self.repositories.iter().any(|selection| {
            if pattern.is_exact() {
                return selection.selects(&pattern.text);
            }
            let workspace = pattern.workspace();
            let mut includes = selection.include.iter();
            includes.any(|include| include.workspace() == workspace)
        })
    }
}

fn is_in(project: &Project, found: &RepositoryIdentity) -> bool {
    let mut patterns = project.repositories.iter();
    let mut keys = project.bitbucket_projects.iter();
    patterns.any(|pattern| pattern.matches(&found.full_name))
        || keys.any(|key| has_project_key(found, key))
}

fn has_project_key(found: &RepositoryIdentity, key: &str) -> bool {
    let own = found.bitbucket_project.as_deref();
    own.is_some_and(|own| own.eq_ignore_ascii_case(key))
}
