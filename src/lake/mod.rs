//! (room: lake)
