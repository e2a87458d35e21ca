//! Access to a container of Azure Blob Storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::Error as StoreError;
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use url::Url;

use super::bucket::{
    Bucket, CANNOT_CONNECT, MachineIdentity, metadata_retries, retries, with_options,
};
use crate::config::StoreKind;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Connect to the container that `url` names: its host, or the user of `abfss://container@account.…`.
///
/// # Errors
/// As [`super::bucket`].
pub(super) fn connect(url: Url, options: &BTreeMap<String, String>) -> Result<Bucket> {
    let failed = |error: Error| error.with("container", &url);
    let host = url.host_str().unwrap_or_default();
    let mut builder = builder(options)?;
    builder = match (url.username(), host.split_once('.')) {
        ("", None) => builder.with_container_name(host),
        (container, Some((account, _))) if !container.is_empty() => builder
            .with_container_name(container)
            .with_account(account)
            .with_use_fabric_endpoint(host.ends_with(".fabric.microsoft.com")),
        _ => {
            return Err(
                failed(Error::new(ErrorKind::Configuration, CANNOT_CONNECT)).hint(
                    "write az://container/prefix, or abfss://container@account.dfs.core.windows.net/prefix",
                ),
            );
        }
    };
    let Some(account) = builder.get_config_value(&AzureConfigKey::AccountName) else {
        return Err(
            failed(Error::new(ErrorKind::Configuration, "no storage account")).hint(
                "set AZURE_STORAGE_ACCOUNT_NAME or `lake.account_name`, or write \
                 abfss://container@account.dfs.core.windows.net/prefix",
            ),
        );
    };
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let store = build(builder)
        .or_error(ErrorKind::Configuration, CANNOT_CONNECT)
        .map_err(failed)?;
    Ok(Bucket {
        url,
        store: Arc::new(store),
        endpoint: Some(endpoint.unwrap_or(account)),
    })
}

/// Describe where the credentials come from.
pub(super) fn credential_source(options: &BTreeMap<String, String>) -> String {
    let Ok(builder) = builder(options) else {
        return "unknown".to_owned();
    };
    let source = match kind_of_credentials(&builder) {
        CredentialKind::Unsigned => "none, requests are not signed",
        CredentialKind::Token => "the environment variable AZURE_STORAGE_TOKEN",
        CredentialKind::AccountKey => "the environment variable AZURE_STORAGE_ACCOUNT_KEY",
        CredentialKind::WorkloadIdentity => "the workload identity of AZURE_FEDERATED_TOKEN_FILE",
        CredentialKind::ClientSecret => "the environment variable AZURE_CLIENT_SECRET",
        CredentialKind::Sas => "the environment variable AZURE_STORAGE_SAS_TOKEN",
        CredentialKind::AzureCli => "the Azure CLI",
        CredentialKind::Machine => "the managed identity of the machine",
    };
    source.to_owned()
}

fn builder(options: &BTreeMap<String, String>) -> Result<MicrosoftAzureBuilder> {
    let builder = MicrosoftAzureBuilder::from_env();
    with_options(builder, options, |builder, key, value| {
        builder.with_config(key, value)
    })
}

fn build(builder: MicrosoftAzureBuilder) -> Result<MicrosoftAzure, StoreError> {
    if kind_of_credentials(&builder) != CredentialKind::Machine {
        return builder.with_retry(retries()).build();
    }
    let machine = builder.clone().with_retry(metadata_retries()).build()?;
    let identity = MachineIdentity {
        kind: StoreKind::Azure,
        provider: Arc::clone(machine.credentials()),
        is_disabled: false,
    };
    builder
        .with_retry(retries())
        .with_credentials(Arc::new(identity))
        .build()
}

/// Where the credentials come from, in the order in which object_store looks for them.
#[derive(PartialEq, Eq)]
enum CredentialKind {
    Unsigned,
    Token,
    AccountKey,
    WorkloadIdentity,
    ClientSecret,
    Sas,
    AzureCli,
    Machine,
}

fn kind_of_credentials(builder: &MicrosoftAzureBuilder) -> CredentialKind {
    use AzureConfigKey as Key;
    let has = |key: Key| builder.get_config_value(&key).is_some();
    let is_set = |key: Key| builder.get_config_value(&key).as_deref() == Some("true");
    let has_client = has(Key::ClientId) && has(Key::AuthorityId);
    match () {
        () if is_set(Key::SkipSignature) => CredentialKind::Unsigned,
        () if has(Key::Token) => CredentialKind::Token,
        () if has(Key::AccessKey) || is_set(Key::UseEmulator) => CredentialKind::AccountKey,
        () if has_client && has(Key::FederatedTokenFile) => CredentialKind::WorkloadIdentity,
        () if has_client && has(Key::ClientSecret) => CredentialKind::ClientSecret,
        () if has(Key::SasKey) => CredentialKind::Sas,
        () if is_set(Key::UseAzureCli) => CredentialKind::AzureCli,
        () => CredentialKind::Machine,
    }
}
