//! (room: transform)
