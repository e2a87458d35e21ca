//! Waits for tasks that run on other threads.

use tokio::task::JoinSet;

use crate::error::{ErrorKind, OrError, Result};

/// Wait for one of the tasks, and resume its panic. Return `None` if there is no task.
///
/// # Errors
/// [`ErrorKind::Internal`] when the task was cancelled.
pub(super) async fn next_finished<T: 'static>(tasks: &mut JoinSet<T>) -> Result<Option<T>> {
    match tasks.join_next().await {
        None => Ok(None),
        Some(Ok(result)) => Ok(Some(result)),
        Some(Err(error)) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(error).or_error(ErrorKind::Internal, "a task was cancelled"),
        },
    }
}
