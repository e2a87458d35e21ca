//! The states of all repositories and workspaces as a run finds them on the lake. They are read once: a change by a
//! transform in the meantime is merged when the state is put.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::lake::{Lake, ObjectVersion, RepositoryState};

/// The states on the lake with their versions, in a stable order.
#[derive(Debug, Default)]
pub(super) struct SavedStates {
    states: Vec<RepositoryState>,
    versions: Vec<ObjectVersion>,
    /// By connection and uuid.
    positions: BTreeMap<(i64, String), usize>,
}

impl SavedStates {
    /// Read all states of the lake.
    pub(super) async fn read(lake: &Lake) -> Result<Self> {
        let (states, versions): (Vec<_>, Vec<_>) =
            lake.versioned_states().await?.into_iter().unzip();
        let key = |state: &RepositoryState| (state.connection_id, state.uuid.clone());
        let positions = states.iter().map(key).zip(0..).collect();
        Ok(Self {
            states,
            versions,
            positions,
        })
    }

    /// All states.
    pub(super) fn states(&self) -> &[RepositoryState] {
        &self.states
    }

    /// The number of repositories that earlier runs collected.
    pub(super) fn count_repositories(&self) -> usize {
        let states = self.states.iter();
        states.filter(|state| !state.is_workspace()).count()
    }

    /// The state of one repository or workspace.
    pub(super) fn get(&self, connection_id: i64, uuid: &str) -> Option<&RepositoryState> {
        self.states.get(self.position(connection_id, uuid)?)
    }

    /// The state of one repository or workspace with the version that the next put replaces.
    pub(super) fn get_versioned(
        &self,
        connection_id: i64,
        uuid: &str,
    ) -> Option<(RepositoryState, ObjectVersion)> {
        let position = self.position(connection_id, uuid)?;
        let saved = self.states.get(position).zip(self.versions.get(position))?;
        Some((saved.0.clone(), saved.1.clone()))
    }

    fn position(&self, connection_id: i64, uuid: &str) -> Option<usize> {
        let key = (connection_id, uuid.to_owned());
        self.positions.get(&key).copied()
    }
}
