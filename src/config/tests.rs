//! One test per mistake a user can make, each with the whole line that is shown.
