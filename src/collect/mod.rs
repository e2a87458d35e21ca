//! (room: collect)
