//! Locking without poison.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lock a mutex even if it is poisoned: another request's handler panicked, and the counts are still good enough.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
