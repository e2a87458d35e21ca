//! Sends an event to a server, or appends it to a file.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::{LineageSettings, LineageTransport};
use crate::error::{Error, ErrorKind, OrError, Result};

/// The time after which a run no longer waits for the server or file.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Send one event.
///
/// # Errors
/// [`ErrorKind::Unreachable`] when the server does not accept it in time, [`ErrorKind::Configuration`] when the file cannot be
/// written. The message has neither the key nor the URL's credentials.
pub(super) async fn send(settings: &LineageSettings, event: &serde_json::Value) -> Result<()> {
    match &settings.transport {
        LineageTransport::File(path) => {
            let written = append(path.clone(), format!("{event}\n")).await;
            let written = written.or_error(ErrorKind::Configuration, "cannot write the file");
            written.map_err(|error| error.with("file", path.display()))
        }
        LineageTransport::Http { url, key } => {
            let client = reqwest::Client::builder()
                .user_agent(concat!("bitlake/", env!("CARGO_PKG_VERSION")))
                .timeout(TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .or_error(ErrorKind::Internal, "cannot set up HTTPS")?;
            let mut request = client.post(url.clone()).json(event);
            if let Some(key) = key {
                request = request.bearer_auth(key.expose());
            }
            let response = request
                .send()
                .await
                .map_err(|error| unreachable(error.without_url()))?;
            let status = response.status();
            match status.is_success() {
                true => Ok(()),
                false => Err(Error::new(
                    ErrorKind::Unreachable,
                    "the lineage server refused the event",
                )
                .with("host", url.host_str().unwrap_or_default())
                .with_status(status)),
            }
        }
    }
}

/// Append a line to a file, within [`TIMEOUT`]: a pipe without a reader and a dead network mount would block forever.
async fn append(path: PathBuf, line: String) -> std::io::Result<()> {
    let work = tokio::task::spawn_blocking(move || {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(path)?;
        file.write_all(line.as_bytes())
    });
    tokio::time::timeout(TIMEOUT, work).await??
}

fn unreachable(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "the lineage server does not answer").source(error)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_without_a_reader_costs_the_time_limit_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let settings = LineageSettings {
            transport: LineageTransport::File(path),
            namespace: "n".to_owned(),
            parent: None,
        };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let event = serde_json::json!({});
        let error = runtime.block_on(send(&settings, &event)).unwrap_err();
        assert!(
            error.to_string().contains("cannot write the file"),
            "{error}"
        );
        runtime.shutdown_background();
    }
}
