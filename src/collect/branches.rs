//! Branches: all of them whenever any moved, because a branch has no time and a deleted one just stops being listed.

use super::entity::{Entity, text};

pub(super) static ENTITY: Entity = Entity {
    absence_deletes: true,
    ..Entity::new("branches", |record| text(record, "/name"))
};
