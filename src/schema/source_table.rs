//! The tables of the source layer and how they depend on each other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// A table of the source layer (`bitbucket`), one per Bitbucket entity.
///
/// Text, JSON and order are those of the table's name: `pull_requests`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceTable {
    /// The heads of branches.
    Branches,
    /// The commits that branches and tags reach.
    Commits,
    /// Deployments to environments.
    Deployments,
    /// The environments of a repository.
    Environments,
    /// The changes of issues.
    IssueChanges,
    /// The comments of issues.
    IssueComments,
    /// The issues of Bitbucket's own tracker.
    Issues,
    /// The steps of pipelines.
    PipelineSteps,
    /// Runs of pipelines.
    Pipelines,
    /// Updates, approvals and comments of pull requests.
    PullRequestActivity,
    /// The comments of pull requests.
    PullRequestComments,
    /// The commits of pull requests.
    PullRequestCommits,
    /// Pull requests of every state.
    PullRequests,
    /// The repositories themselves.
    Repositories,
    /// Tags.
    Tags,
    /// The members of workspaces.
    WorkspaceMembers,
}

impl SourceTable {
    /// The layer of these tables.
    pub const LAYER: &'static str = "bitbucket";

    /// All tables in the order in which a run reads them: a table comes before those that depend on it.
    pub const ALL: [Self; 16] = [
        Self::WorkspaceMembers,
        Self::Repositories,
        Self::Branches,
        Self::Tags,
        Self::Commits,
        Self::PullRequests,
        Self::PullRequestActivity,
        Self::PullRequestComments,
        Self::PullRequestCommits,
        Self::Issues,
        Self::IssueComments,
        Self::IssueChanges,
        Self::Pipelines,
        Self::Deployments,
        Self::PipelineSteps,
        Self::Environments,
    ];

    /// The table's name: `pull_requests`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Branches => "branches",
            Self::Commits => "commits",
            Self::Deployments => "deployments",
            Self::Environments => "environments",
            Self::IssueChanges => "issue_changes",
            Self::IssueComments => "issue_comments",
            Self::Issues => "issues",
            Self::PipelineSteps => "pipeline_steps",
            Self::Pipelines => "pipelines",
            Self::PullRequestActivity => "pull_request_activity",
            Self::PullRequestComments => "pull_request_comments",
            Self::PullRequestCommits => "pull_request_commits",
            Self::PullRequests => "pull_requests",
            Self::Repositories => "repositories",
            Self::Tags => "tags",
            Self::WorkspaceMembers => "workspace_members",
        }
    }

    /// The table of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.as_str() == name)
    }

    /// The table of `bitbucket.pull_requests`; `None` for a table of another layer.
    #[must_use]
    pub fn from_qualified_name(name: &str) -> Option<Self> {
        let (layer, table) = name.split_once('.')?;
        Self::from_name(table).filter(|_| layer == Self::LAYER)
    }

    /// Whether `name` (`layer.table`) is a table of the source layer, also one that this version does not know.
    #[must_use]
    pub fn is_in_layer(name: &str) -> bool {
        name.split_once('.')
            .is_some_and(|(layer, _)| layer == Self::LAYER)
    }

    /// The name with its layer: `bitbucket.pull_requests`.
    #[must_use]
    pub fn qualified_name(self) -> String {
        format!("{}.{self}", Self::LAYER)
    }

    /// The table whose records own those of this one: Bitbucket lists these per pull request, issue or pipeline.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::PullRequestActivity | Self::PullRequestComments | Self::PullRequestCommits => {
                Some(Self::PullRequests)
            }
            Self::IssueComments | Self::IssueChanges => Some(Self::Issues),
            Self::PipelineSteps => Some(Self::Pipelines),
            _ => None,
        }
    }

    /// The tables whose lists name or embed the records of this one. They are read again when this table is lost.
    #[must_use]
    pub const fn sources(self) -> &'static [Self] {
        match self {
            // The activity list embeds most comments.
            Self::PullRequestComments => &[Self::PullRequests, Self::PullRequestActivity],
            Self::PullRequestActivity | Self::PullRequestCommits => &[Self::PullRequests],
            Self::IssueComments | Self::IssueChanges => &[Self::Issues],
            Self::PipelineSteps => &[Self::Pipelines, Self::Deployments],
            _ => &[],
        }
    }

    /// Whether its records are read only when something was pushed.
    #[must_use]
    pub const fn is_read_after_push(self) -> bool {
        matches!(self, Self::Branches | Self::Tags | Self::Commits)
    }

    /// Whether its records belong to a workspace and not to one repository.
    #[must_use]
    pub const fn is_of_workspace(self) -> bool {
        matches!(self, Self::WorkspaceMembers)
    }
}

impl fmt::Display for SourceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl AsRef<str> for SourceTable {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for SourceTable {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the source layer has no such table")
                .with("table", name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Contracts;

    #[test]
    fn every_contract_of_the_source_layer_is_a_table() {
        let contracts = Contracts::bundled().unwrap().layer(SourceTable::LAYER);
        let named: Vec<_> = contracts.map(|it| it.table.as_str()).collect();
        let mut tables = SourceTable::ALL;
        tables.sort();
        assert_eq!(tables.map(SourceTable::as_str).as_slice(), named);
    }

    #[test]
    fn json_and_text_spell_a_table_alike() {
        for table in SourceTable::ALL {
            let json = serde_json::to_string(&table).unwrap();
            assert_eq!(json, format!("\"{table}\""));
            assert_eq!(table.as_str().parse::<SourceTable>().unwrap(), table);
            let name = table.qualified_name();
            assert_eq!(SourceTable::from_qualified_name(&name), Some(table));
        }
        assert_eq!(SourceTable::from_qualified_name("domain.commits"), None);
    }

    #[test]
    fn a_parent_is_read_before_its_children() {
        let place = |table| SourceTable::ALL.iter().position(|it| *it == table);
        for table in SourceTable::ALL {
            assert!(
                table
                    .parent()
                    .is_none_or(|parent| place(parent) < place(table))
            );
        }
    }
}
