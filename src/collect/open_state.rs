//! The state of a repository at the beginning of a run: that of the last run, or a new one.

use std::collections::BTreeMap;

use super::context::RunContext;
use crate::config::Since;
use crate::error::Result;
use crate::lake::{FORMAT_VERSION, ObjectVersion, RepositoryState};

/// Return the state of a repository or workspace, or a new one, with the state on the lake and its version.
/// `since` moves only when its setting changes.
pub(super) fn open_state(
    context: &RunContext<'_>,
    connection_id: i64,
    uuid: &str,
    full_name: &str,
) -> Result<(RepositoryState, Option<(RepositoryState, ObjectVersion)>)> {
    let since = context.config.sync.since;
    let now = context.options.now;
    let setting = setting(since);
    let saved = context.states.get_versioned(connection_id, uuid);
    let known = saved.as_ref().map(|(state, _)| state.clone());
    let mut state = known.unwrap_or_else(|| RepositoryState {
        format_version: FORMAT_VERSION,
        connection_id,
        uuid: uuid.to_owned(),
        full_name: full_name.to_owned(),
        published_as: None,
        collected_by: None,
        bitbucket_project: None,
        since: since.resolve(now),
        since_setting: setting.clone(),
        refs_as_of: None,
        last_visit: None,
        missing_since: None,
        deleted: false,
        entities: BTreeMap::new(),
    });
    if state.since_setting != setting {
        state.since = since.resolve(now);
        state.since_setting = setting;
    }
    context.lost.start_over(&mut state)?;
    state.full_name = full_name.to_owned();
    state.missing_since = None;
    state.deleted = false;
    state.collected_by = Some(context.options.run_id.to_owned());
    Ok((state, saved))
}

/// Format the setting as text, which is equal exactly when the configuration says the same.
fn setting(since: Since) -> String {
    match since {
        Since::Date(date) => date.to_string(),
        Since::Days(days) => format!("{days} days"),
        Since::Months(months) => format!("{months} months"),
    }
}
