//! From what discovery found to who is under which rules and in which project.
//!
//! A pattern that matches nothing is an error and not a warning: figures that silently lack a repository are worse
//! than none.

use std::collections::BTreeMap;

use super::Config;
use super::patterns::RepositoryPattern;
use super::project::{Project, RepositorySelection};
use crate::error::Result;
use crate::suggest;

/// A repository as discovery found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryIdentity {
    pub connection_id: i64,
    /// `workspace/slug`
    pub full_name: String,
    /// With braces.
    pub uuid: String,
    /// The key of its Bitbucket project.
    pub bitbucket_project: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedRepository {
    pub found: RepositoryIdentity,
    /// The name of its rule set.
    pub rules: String,
    /// Names of projects, in the file's order.
    pub projects: Vec<String>,
}

impl Config {
    /// In the order of `found`. What no `[[repositories]]` selects is left out.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Configuration`] with the line: a repository under two rule sets, a project's
    /// pattern or key that matches nothing, or one outside of what is collected.
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

    /// The rule set of the `[[repositories]]` that select it.
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
                            "{} is under two rule sets, `{}` at {} and `{}` at {}",
                            repository.full_name,
                            first.rules,
                            first.place,
                            selection.rules,
                            selection.place
                        ))
                        .hint("exclude it from one of them"));
                }
                Some(_) => {}
                None => chosen = Some(selection),
            }
        }
        Ok(chosen.map(|selection| selection.rules.as_str()))
    }

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
                        "`{text}` of the project `{name}` is outside of every [[repositories]]"
                    ))
                    .hint("include it there, so that it is collected"));
            }
            let error = pattern.place.error(format!(
                "`{text}` of the project `{name}` matches no repository"
            ));
            let names = assigned.iter().map(|a| a.found.full_name.as_str());
            return Err(match suggest::closest(text, names) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("correct or remove it; `bitlake repos` lists what can be seen"),
            });
        }
        for key in &project.bitbucket_projects {
            if !assigned.iter().any(|a| has_key(&a.found, key)) {
                return Err(project
                    .place
                    .error(format!(
                        "the Bitbucket project `{key}` of the project `{}` has no repository here",
                        project.name
                    ))
                    .hint("correct or remove it; the key is the one in Bitbucket's addresses"));
            }
        }
        Ok(())
    }

    /// Whether any selection could ever hold what `pattern` names.
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
    patterns.any(|pattern| pattern.matches(&found.full_name)) || keys.any(|key| has_key(found, key))
}

fn has_key(found: &RepositoryIdentity, key: &str) -> bool {
    let of = found.bitbucket_project.as_deref();
    of.is_some_and(|of| of.eq_ignore_ascii_case(key))
}
