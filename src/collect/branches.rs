//! Branches. All of them are read whenever one moved: a branch has no time, and a deleted one just is not listed any more.

use super::entity::{Entity, text};

pub(super) static ENTITY: Entity = Entity {
    deletes_missing: true,
    ..Entity::new("branches", |record| text(record, "/name"))
};
