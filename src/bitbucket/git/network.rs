//! Git commands that reach Bitbucket: authenticated by the environment, counted, and retried.

use std::process::Command;
use std::sync::atomic::Ordering;

use reqwest::header::AUTHORIZATION;

use super::clone::{RETRIES, RepositoryClone};
use super::failures::GitFailure;
use crate::bitbucket::urls::{is_loopback, safe_url};
use crate::error::{ErrorKind, OrError, Result};

impl RepositoryClone<'_> {
    /// Run a command that reaches Bitbucket. Failures that may be temporary are retried. Any other failure is returned
    /// with the end of stderr, without secrets.
    pub(super) async fn run_online(
        &self,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<std::result::Result<(), (GitFailure, String)>> {
        let mut delays = self.git.limits.backoff(RETRIES);
        let mut has_renewed = false;
        loop {
            self.git.operations.fetch_add(1, Ordering::Relaxed);
            let command = self.online_command(arguments).await?;
            let process = self.start(command, input.clone())?;
            let finished = process.finish().await;
            let (status, output) = finished.map_err(|error| self.unreadable(error))?;
            if status.success() {
                return Ok(Ok(()));
            }
            let failure = GitFailure::classify(&output);
            let output = self.client.masker().mask(&output).into_owned();
            match failure {
                GitFailure::Network | GitFailure::RateLimit => {
                    let Some(delay) = delays.next() else {
                        return Ok(Err((failure, output)));
                    };
                    tracing::debug!(url = %safe_url(&self.remote.url), "retrying fetch: {output}");
                    tokio::time::sleep(delay).await;
                }
                GitFailure::Credentials if !has_renewed => {
                    has_renewed = true;
                    match self.client.identity(0) {
                        Some(identity) if identity.renew().await => {}
                        _ => return Ok(Err((failure, output))),
                    }
                }
                _ => return Ok(Err((failure, output))),
            }
        }
    }

    /// Create a command that reaches Bitbucket. The masker of the client knows the secrets in its environment.
    pub(super) async fn online_command(&self, arguments: &[&str]) -> Result<Command> {
        let url = &self.remote.url;
        let mut settings = vec![
            ("remote.origin.url".to_owned(), url.to_string()),
            ("remote.origin.promisor".to_owned(), "true".to_owned()),
            (
                "remote.origin.partialclonefilter".to_owned(),
                "blob:none".to_owned(),
            ),
        ];
        match &self.remote.proxy {
            Some(proxy) => settings.push(("http.proxy".to_owned(), proxy.clone())),
            // A proxy of the environment cannot reach this machine's loopback address.
            None if is_loopback(url) => settings.push(("http.proxy".to_owned(), String::new())),
            None => {}
        }
        settings.extend(self.authorization().await?);
        let mut command = self.git.command(Some(&self.folder), &settings);
        command
            .env("GIT_ALLOW_PROTOCOL", url.scheme())
            .args(arguments)
            .arg("--quiet");
        Ok(command)
    }

    /// Return the setting that sends the credentials to the host of the remote; `None` for public repositories.
    async fn authorization(&self) -> Result<Option<(String, String)>> {
        let (url, http) = (&self.remote.url, self.client.http());
        let (Some(user), Some(identity)) = (&self.remote.user, self.client.identity(0)) else {
            return Ok(None);
        };
        let Some(password) = identity.password(http).await? else {
            return Ok(None);
        };
        let request = http
            .get(url.clone())
            .basic_auth(user, Some(password.expose()))
            .build()
            .or_error(ErrorKind::Internal, "cannot sign git's requests")?;
        let header = request.headers().get(AUTHORIZATION);
        let header = header.and_then(|header| header.to_str().ok());
        let header = header.unwrap_or_default();
        // Git's user differs from that of the API, and so does the encoded header.
        let encoded = header.split_once(' ').map(|(_, encoded)| encoded);
        self.client.masker().learn(encoded);
        let host = url.join("/").unwrap_or_else(|_| url.clone());
        Ok(Some((
            format!("http.{host}.extraHeader"),
            format!("Authorization: {header}"),
        )))
    }
}
