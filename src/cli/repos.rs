//! `bitlake repos`: lists the repositories that the credentials can read.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::args::ReposArgs;
use super::context::{CliContext, CommandOutcome};
use super::output::print;
use super::rows;
use crate::bitbucket::{ApiTarget, Client, Limits, NextPage, endpoints};
use crate::collect::open_clients;
use crate::config::Config;
use crate::error::{Error, ErrorKind, OrError, Result};

#[derive(Deserialize)]
struct Listed {
    full_name: String,
    #[serde(default)]
    is_private: Option<bool>,
    #[serde(default)]
    project: Option<ListedProject>,
    #[serde(default)]
    updated_on: Option<String>,
}

#[derive(Deserialize)]
struct ListedProject {
    key: Option<String>,
}

pub(super) async fn run(context: &CliContext, args: ReposArgs) -> Result<CommandOutcome> {
    let config = context.config()?;
    let clients = open_clients(&config, &context.env, &Limits::default())?;
    let header = ["repository", "project", "private", "updated"]
        .map(String::from)
        .to_vec();
    let mut lines = vec![header];
    for (connection, client) in &clients {
        for workspace in workspaces(&config, connection, args.workspace.as_deref()) {
            let found = list(client, &workspace, args.search.as_deref(), &mut lines).await;
            found.map_err(|error| error.with("connection", connection))?;
        }
    }
    print(&rows::aligned(&lines))?;
    Ok(CommandOutcome::Complete)
}

/// Return the workspace of the command line, or else the workspaces that the connection selects.
fn workspaces(config: &Config, connection: &str, given: Option<&str>) -> BTreeSet<String> {
    if let Some(workspace) = given {
        return BTreeSet::from([workspace.to_owned()]);
    }
    let selections = config
        .repositories
        .iter()
        .filter(|one| one.connection == connection);
    let patterns = selections.flat_map(|selection| &selection.include);
    patterns
        .map(|pattern| pattern.workspace().to_owned())
        .collect()
}

/// Add a line for each repository of `workspace` whose name contains `search`.
async fn list(
    client: &Client,
    workspace: &str,
    search: Option<&str>,
    lines: &mut Vec<Vec<String>>,
) -> Result<()> {
    let search = search.unwrap_or_default().to_lowercase();
    let mut pages = client.list(&endpoints::REPOSITORIES, ApiTarget::workspace(workspace));
    loop {
        let page = match pages.next().await? {
            NextPage::Page(page) => page,
            NextPage::End => return Ok(()),
            NextPage::Unavailable(refusal) => {
                return Err(
                    Error::new(ErrorKind::Configuration, "the workspace cannot be listed")
                        .with("workspace", workspace)
                        .with("reason", refusal.reason)
                        .hint("check the workspace's name and the credentials"),
                );
            }
        };
        for record in page.values {
            let listed: Listed = serde_json::from_str(record.get())
                .or_error(ErrorKind::Api, "a repository's record cannot be read")?;
            if listed.full_name.to_lowercase().contains(&search) {
                lines.push(vec![
                    listed.full_name,
                    listed
                        .project
                        .and_then(|project| project.key)
                        .unwrap_or_default(),
                    listed
                        .is_private
                        .map(|private| private.to_string())
                        .unwrap_or_default(),
                    listed.updated_on.unwrap_or_default(),
                ]);
            }
        }
    }
}
