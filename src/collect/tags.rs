//! Tags. All of them are read whenever one moved: a lightweight tag has no time of its own.

use super::entity::{Entity, text};
use crate::schema::SourceTable;

pub(super) static ENTITY: Entity = Entity {
    deletes_missing: true,
    ..Entity::new(SourceTable::Tags, |record| text(record, "/name"))
};
