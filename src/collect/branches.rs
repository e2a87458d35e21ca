//! Branches. All of them are read whenever one moved: a branch has no time, and a deleted one just is not listed any more.

use super::entity::{Entity, text};
use crate::schema::SourceTable;

pub(super) static ENTITY: Entity = Entity {
    deletes_missing: true,
    ..Entity::new(SourceTable::Branches, |record| text(record, "/name"))
};
