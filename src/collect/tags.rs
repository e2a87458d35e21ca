//! Tags. All of them are read whenever one moved: a lightweight tag has no time of its own.

use super::entity::{Entity, text};

pub(super) static ENTITY: Entity = Entity {
    deletes_missing: true,
    ..Entity::new("tags", |record| text(record, "/name"))
};
