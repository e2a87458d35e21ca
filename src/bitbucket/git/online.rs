//! What reaches Bitbucket: signed by the environment, counted, and tried again where that helps.

use std::process::Command;
use std::sync::atomic::Ordering;

use reqwest::header::AUTHORIZATION;

use super::clone::{RepositoryClone, TRIES};
use super::failures::Trouble;
use crate::bitbucket::safe_url;
use crate::bitbucket::transport::is_loopback;
use crate::error::{ErrorKind, OrError, Result};

impl RepositoryClone<'_> {
    /// A command that reaches Bitbucket. What passes by itself is tried again; the rest is for the caller.
    pub(super) async fn online(
        &self,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<std::result::Result<(), (Trouble, String)>> {
        let mut waits = self.git.limits.backoff(TRIES);
        let mut renewed = false;
        loop {
            self.git.operations.fetch_add(1, Ordering::Relaxed);
            let command = self.online_command(arguments).await?;
            let process = self.start(command, input.clone())?;
            let (status, words) = process.end().await.map_err(|error| self.silent(error))?;
            if status.success() {
                return Ok(Ok(()));
            }
            let trouble = Trouble::read(&words);
            let words = self.client.masker().mask(&words).into_owned();
            let identity = self.client.identity(0);
            match trouble {
                Trouble::Network | Trouble::Refused => {
                    let Some(wait) = waits.next() else {
                        return Ok(Err((trouble, words)));
                    };
                    tracing::debug!(url = %safe_url(&self.origin.url), "fetching again: {words}");
                    tokio::time::sleep(wait).await;
                }
                Trouble::Credentials if !renewed => {
                    renewed = true;
                    match identity {
                        Some(identity) if identity.renew().await => {}
                        _ => return Ok(Err((trouble, words))),
                    }
                }
                _ => return Ok(Err((trouble, words))),
            }
        }
    }

    /// The command. What must not be shown of its environment is known to the client's masker.
    pub(super) async fn online_command(&self, arguments: &[&str]) -> Result<Command> {
        let url = &self.origin.url;
        let mut more = vec![
            ("remote.origin.url".to_owned(), url.to_string()),
            ("remote.origin.promisor".to_owned(), "true".to_owned()),
            (
                "remote.origin.partialclonefilter".to_owned(),
                "blob:none".to_owned(),
            ),
        ];
        match &self.origin.proxy {
            Some(proxy) => more.push(("http.proxy".to_owned(), proxy.clone())),
            // A proxy of the environment is for the world outside.
            None if is_loopback(url) => more.push(("http.proxy".to_owned(), String::new())),
            None => {}
        }
        let http = self.client.http();
        if let (Some(user), Some(identity)) = (&self.origin.user, self.client.identity(0))
            && let Some(password) = identity.password(http).await?
        {
            let request = http
                .get(url.clone())
                .basic_auth(user, Some(password.expose()));
            let request = request
                .build()
                .or_error(ErrorKind::Internal, "cannot sign git's requests")?;
            let header = request.headers().get(AUTHORIZATION);
            let header = header
                .and_then(|header| header.to_str().ok())
                .unwrap_or_default();
            let host = url.join("/").unwrap_or_else(|_| url.clone());
            more.push((
                format!("http.{host}.extraHeader"),
                format!("Authorization: {header}"),
            ));
            // Its user is another than the API's, and so is what it packs.
            let packed = header.split_once(' ').map(|(_, packed)| packed);
            self.client.masker().learn(packed);
        }
        let mut command = self.git.command(Some(&self.folder), &more);
        command
            .env("GIT_ALLOW_PROTOCOL", url.scheme())
            .args(arguments)
            .arg("--quiet");
        Ok(command)
    }
}
