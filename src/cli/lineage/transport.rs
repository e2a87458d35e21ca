//! Sends an event to a server, or adds it to a file.

use std::io::Write;
use std::time::Duration;

use super::settings::{LineageSettings, LineageTransport};
use crate::error::{Error, ErrorKind, OrError, Result};

/// The time that a server may take. A run does not wait longer for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Send one event.
///
/// # Errors
/// [`ErrorKind::Unreachable`] when the server does not accept it in time, [`ErrorKind::Configuration`] when the file cannot be
/// written. The message has neither the key nor the URL's credentials.
pub(super) async fn send(settings: &LineageSettings, event: &serde_json::Value) -> Result<()> {
    match &settings.transport {
        LineageTransport::File(path) => {
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path);
            let written = file.and_then(|mut file| file.write_all(format!("{event}\n").as_bytes()));
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

fn unreachable(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "the lineage server does not answer").source(error)
}
