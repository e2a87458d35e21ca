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
    let masker = masker_of_environment(env);
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
    let masker = masker_of_environment(env);
    for connection in &config.connections {
        if let Ok(options) = ClientOptions::from_connection(connection, env) {
            masker.learn(options.secrets().iter().map(String::as_str));
        }
    }
    masker
}

fn masker_of_environment(env: &BTreeMap<String, String>) -> Masker {
    Masker::of(secrets_of_environment(env).iter().map(String::as_str))
}

/// Return the secrets of the environment that belong to no connection: those of the lake's bucket and of the lineage
/// server, and the secret parts of their values.
fn secrets_of_environment(env: &BTreeMap<String, String>) -> Vec<String> {
    const NAMES: [&str; 13] = [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        SERVICE_ACCOUNT_KEY,
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_MASTER_KEY",
        SAS[0],
        SAS[1],
        "AZURE_STORAGE_TOKEN",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_CLIENT_SECRET",
        "OPENLINEAGE_API_KEY",
        LINEAGE_AUTH,
    ];
    const SERVICE_ACCOUNT_KEY: &str = "GOOGLE_SERVICE_ACCOUNT_KEY";
    const SAS: [&str; 2] = ["AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN"];
    const LINEAGE_AUTH: &str = "OPENLINEAGE__TRANSPORT__AUTH";
    // A local server accepts any secret. A short one may be a word of ordinary texts, which must stay readable.
    const SHORTEST: usize = 16;
    const SHORTEST_OF_LINEAGE: usize = 8;
    let mut secrets = Vec::new();
    for (name, value) in NAMES
        .iter()
        .filter_map(|name| Some((*name, env.get(*name)?)))
    {
        let parts = match name {
            SERVICE_ACCOUNT_KEY => texts_of_json(value, |key| key == "private_key"),
            LINEAGE_AUTH => texts_of_json(value, |key| key != "type"),
            _ if SAS.contains(&name) => signatures(value),
            _ => Vec::new(),
        };
        let shortest = match name.starts_with("OPENLINEAGE") {
            true => SHORTEST_OF_LINEAGE,
            false => SHORTEST,
        };
        let all = parts.into_iter().chain([value.clone()]);
        secrets.extend(all.filter(|secret| secret.len() >= shortest));
    }
    secrets
}

/// Return the texts of a JSON object under the keys that are secret; none if `json` is no object.
fn texts_of_json(json: &str, is_secret: impl Fn(&str) -> bool) -> Vec<String> {
    let object: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(json).unwrap_or_default();
    let secret = object.iter().filter(|(key, _)| is_secret(key));
    let texts = secret.filter_map(|(_, value)| value.as_str());
    texts.map(|text| text.trim().to_owned()).collect()
}

/// Return the value of `sig` of a shared access signature, as it is written and decoded.
fn signatures(token: &str) -> Vec<String> {
    let pairs = token.trim_start_matches('?').split('&');
    let written: Vec<_> = pairs.filter_map(|pair| pair.strip_prefix("sig=")).collect();
    let decoded = written.iter().flat_map(|value| {
        // A plus sign is base64's own here, not a space.
        let pair = format!("sig={}", value.replace('+', "%2B"));
        let pairs = url::form_urlencoded::parse(pair.as_bytes());
        pairs
            .map(|(_, value)| value.into_owned())
            .collect::<Vec<_>>()
    });
    let decoded: Vec<_> = decoded.collect();
    let written = written.into_iter().map(str::to_owned);
    written.chain(decoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(name: &str, value: &str, text: &str) -> String {
        let env = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        masker_of_environment(&env).mask(text).into_owned()
    }

    #[test]
    fn the_key_of_the_lineage_server_is_masked_in_every_form() {
        let auth = "OPENLINEAGE__TRANSPORT__AUTH";
        for (name, value) in [
            ("OPENLINEAGE_API_KEY", "lineage-k3y"),
            (auth, "lineage-k3y"),
            (auth, r#"{"type": "api_key", "apiKey": "lineage-k3y"}"#),
            (auth, r#"{"api_key": "lineage-k3y"}"#),
        ] {
            let text = masked(name, value, "a Bearer lineage-k3y b");
            assert_eq!(text, "a Bearer *** b", "{value}");
            assert_eq!(masked(name, value, value), "***");
        }
    }

    #[test]
    fn the_private_key_of_a_service_account_is_masked_alone() {
        let json = r#"{"client_email": "me@acme.example", "private_key": "-----BEGIN-----\nMIIEabcdefghijkl\n-----END-----\n"}"#;
        for text in [
            "-----BEGIN-----\nMIIEabcdefghijkl\n-----END-----",
            r"-----BEGIN-----\nMIIEabcdefghijkl\n-----END-----",
        ] {
            let found = masked(
                "GOOGLE_SERVICE_ACCOUNT_KEY",
                json,
                &format!("me@acme.example {text}"),
            );
            assert_eq!(found, "me@acme.example ***");
        }
    }

    #[test]
    fn the_signature_of_a_shared_access_signature_is_masked_alone() {
        for token in [
            "?sv=2022-11-02&sig=abcd%2Befgh%2Fijklmnop%3D&sp=r",
            "sv=2022-11-02&sig=abcd+efgh/ijklmnop=",
        ] {
            for text in ["abcd+efgh/ijklmnop=", "abcd%2Befgh%2Fijklmnop%3D"] {
                let found = masked(
                    "AZURE_STORAGE_SAS_TOKEN",
                    token,
                    &format!("sp=r&sig={text}"),
                );
                assert_eq!(found, "sp=r&sig=***", "{token}");
            }
        }
    }
}
