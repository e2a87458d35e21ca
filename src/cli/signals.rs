//! Signals that ask the program to stop: Ctrl-C and SIGTERM.

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

/// Listens for signals from its start until the end of the program. A signal is never lost: if one was received before,
/// [`SignalListener::interrupted`] returns immediately. Clones share the received signal.
#[derive(Debug, Clone)]
pub(super) struct SignalListener(watch::Receiver<bool>);

impl SignalListener {
    /// Start to listen. From then on a signal no longer ends the process.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the system refuses a handler.
    pub(super) fn start() -> Result<Self> {
        let (sender, receiver) = watch::channel(false);
        let received = register_handlers().map_err(|source| {
            Error::new(ErrorKind::Internal, "cannot listen for signals").source(source)
        })?;
        tokio::spawn(async move {
            received.await;
            sender.send_replace(true);
        });
        Ok(Self(receiver))
    }

    /// Return whether a signal was received.
    pub(super) fn is_received(&self) -> bool {
        *self.0.borrow()
    }

    /// Wait for a signal, and return the error of an interrupted run.
    pub(super) async fn interrupted(&self) -> Error {
        let mut received = self.0.clone();
        if received.wait_for(|received| *received).await.is_err() {
            // The listening task only ends without a signal when the program ends.
            std::future::pending::<()>().await;
        }
        Error::new(ErrorKind::Interrupted, "interrupted")
            .hint("state is saved; run again to resume")
    }
}

/// Register the handlers, and return a future of the first signal.
#[cfg(unix)]
fn register_handlers() -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Register the handler, and return a future of the first Ctrl-C.
#[cfg(windows)]
fn register_handlers() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn listener() -> (watch::Sender<bool>, SignalListener) {
        let (sender, receiver) = watch::channel(false);
        (sender, SignalListener(receiver))
    }

    #[tokio::test]
    async fn a_signal_that_comes_between_two_steps_is_not_lost() {
        let (sender, listener) = listener();
        let first = tokio::time::timeout(Duration::from_millis(10), listener.interrupted());
        assert!(first.await.is_err());
        sender.send_replace(true);
        drop(sender);
        for _ in 0..2 {
            assert!(listener.is_received());
            let error = listener.clone().interrupted().await;
            assert_eq!(error.kind(), ErrorKind::Interrupted);
        }
    }
}
