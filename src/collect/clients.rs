//! The HTTP clients of a configuration's connections, and the secrets that logs and payloads must not show.

use std::collections::{BTreeMap, BTreeSet};

use crate::bitbucket::{Budgets, Client, ClientOptions, Limits};
use crate::config::{Config, Connection};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Masker;

/// Open a client for each connection that a selection uses, with budgets that end with the process. Return them by
/// connection name.
///
/// # Errors
/// [`ErrorKind::Configuration`] when nothing is selected or a secret of a connection cannot be read.
pub fn open_clients(
    config: &Config,
    env: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<BTreeMap<String, Client>> {
    open_clients_with_budgets(config, env, limits, &Budgets::default())
}

/// Open a client for each connection that a selection uses. Their requests count against `budgets`.
///
/// # Errors
/// As [`open_clients`].
pub(super) fn open_clients_with_budgets(
    config: &Config,
    env: &BTreeMap<String, String>,
    limits: &Limits,
    budgets: &Budgets,
) -> Result<BTreeMap<String, Client>> {
    let selections = config.repositories.iter();
    let used: BTreeSet<&str> = selections.map(|one| one.connection.as_str()).collect();
    if used.is_empty() {
        return Err(
            Error::new(ErrorKind::Configuration, "no repositories are selected")
                .with("file", config.path.display())
                .hint("add [[repositories]] with connection and include"),
        );
    }
    let masker = Masker::of(secrets_of_environment(env));
    let open = |connection: &Connection| {
        let options = ClientOptions::from_connection(connection, env)?;
        let client = Client::new(ClientOptions {
            limits: limits.clone(),
            budgets: budgets.clone(),
            masker: masker.clone(),
            ..options
        })?;
        Ok((connection.name.clone(), client))
    };
    let connections = config.connections.iter();
    let connections = connections.filter(|connection| used.contains(connection.name.as_str()));
    connections.map(open).collect()
}

/// Return a masker for all secrets of the configuration that can be read. Secrets that cannot be read are left out,
/// because the caller sends no requests.
pub fn masker(config: &Config, env: &BTreeMap<String, String>) -> Masker {
    let masker = Masker::of(secrets_of_environment(env));
    for connection in &config.connections {
        if let Ok(options) = ClientOptions::from_connection(connection, env) {
            masker.learn(options.secrets().iter().map(String::as_str));
        }
    }
    masker
}

/// Return the secrets of the environment that belong to no connection: those of the lake's bucket.
fn secrets_of_environment(env: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    const NAMES: [&str; 11] = [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_MASTER_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_CLIENT_SECRET",
    ];
    // A local server accepts any secret. A short one may be a word of ordinary texts, which must stay readable.
    const SHORTEST: usize = 16;
    let values = NAMES.iter().filter_map(|name| env.get(*name));
    values
        .map(String::as_str)
        .filter(|secret| secret.len() >= SHORTEST)
}
