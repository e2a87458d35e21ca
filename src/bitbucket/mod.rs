//! (room: bitbucket)
