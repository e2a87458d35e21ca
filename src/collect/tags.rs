//! Tags: all of them whenever any moved. A lightweight tag has no time of its own.

use super::entity::{Entity, text};

pub(super) static ENTITY: Entity = Entity {
    absence_deletes: true,
    ..Entity::new("tags", |record| text(record, "/name"))
};
