//! Access to a bucket of Google Cloud Storage.
//!
//! object_store reads service accounts and the credentials of a user. It refuses a file of workload identity federation
//! (`external_account`). The workload identity of GKE comes from the machine's metadata service.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::gcp::{
    GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey,
};
use object_store::{ClientConfigKey, Error as StoreError, StaticCredentialProvider};
use url::Url;

use super::bucket::{
    Bucket, CANNOT_CONNECT, MachineIdentity, metadata_retries, retries, with_options,
};
use crate::config::StoreKind;
use crate::error::{ErrorKind, OrError, Result};

/// The file that `gcloud auth application-default login` writes, below the home folder.
const DEFAULT_CREDENTIALS: &str = ".config/gcloud/application_default_credentials.json";

/// Connect to the bucket that the host of `url` names.
///
/// # Errors
/// As [`super::bucket`].
pub(super) fn connect(url: Url, options: &BTreeMap<String, String>) -> Result<Bucket> {
    let builder = builder(options)?.with_bucket_name(url.host_str().unwrap_or_default());
    let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let store = build(builder)
        .or_error(ErrorKind::Configuration, CANNOT_CONNECT)
        .map_err(|error| error.with("bucket", &url))?;
    Ok(Bucket {
        url,
        store: Arc::new(store),
        endpoint,
    })
}

/// Describe where the credentials come from.
pub(super) fn credential_source(options: &BTreeMap<String, String>) -> String {
    let Ok(builder) = builder(options) else {
        return "unknown".to_owned();
    };
    match () {
        () if is_unsigned(&builder) => "none, requests are not signed".to_owned(),
        () if has(&builder, GoogleConfigKey::ServiceAccountKey) => {
            "the environment variable GOOGLE_SERVICE_ACCOUNT_KEY".to_owned()
        }
        () if has(&builder, GoogleConfigKey::ServiceAccount) => {
            "the file of GOOGLE_SERVICE_ACCOUNT".to_owned()
        }
        () if has(&builder, GoogleConfigKey::ApplicationCredentials) => {
            "the file of GOOGLE_APPLICATION_CREDENTIALS".to_owned()
        }
        () if !needs_machine_identity(&builder) => {
            "gcloud's application default credentials".to_owned()
        }
        () => "the service account of the machine".to_owned(),
    }
}

fn builder(options: &BTreeMap<String, String>) -> Result<GoogleCloudStorageBuilder> {
    // The builder of object_store allows plain HTTP by default, and has another name for the endpoint.
    let allow_http = GoogleConfigKey::Client(ClientConfigKey::AllowHttp);
    let builder = GoogleCloudStorageBuilder::from_env().with_config(allow_http, "false");
    let mut options = options.clone();
    if let Some(endpoint) = options.remove("endpoint") {
        options.insert("base_url".to_owned(), endpoint);
    }
    with_options(builder, &options, |builder, key, value| {
        builder.with_config(key, value)
    })
}

fn build(builder: GoogleCloudStorageBuilder) -> Result<GoogleCloudStorage, StoreError> {
    if is_unsigned(&builder) {
        // object_store 0.13 requests credentials for an unsigned put, too. It does not send empty ones.
        let bearer = String::new();
        let none = StaticCredentialProvider::new(GcpCredential { bearer });
        let builder = builder.with_credentials(Arc::new(none));
        return builder.with_retry(retries()).build();
    }
    if !needs_machine_identity(&builder) {
        return builder.with_retry(retries()).build();
    }
    let machine = builder.clone().with_retry(metadata_retries()).build()?;
    let identity = MachineIdentity {
        kind: StoreKind::Google,
        provider: Arc::clone(machine.credentials()),
        is_disabled: false,
    };
    builder
        .with_retry(retries())
        .with_credentials(Arc::new(identity))
        .build()
}

fn has(builder: &GoogleCloudStorageBuilder, key: GoogleConfigKey) -> bool {
    builder.get_config_value(&key).is_some()
}

fn is_unsigned(builder: &GoogleCloudStorageBuilder) -> bool {
    let value = builder.get_config_value(&GoogleConfigKey::SkipSignature);
    value.as_deref() == Some("true")
}

/// Return whether the machine's credentials are the only ones, by the rules of object_store.
fn needs_machine_identity(builder: &GoogleCloudStorageBuilder) -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let has_default = home.is_some_and(|home| home.join(DEFAULT_CREDENTIALS).exists());
    let configured = [
        GoogleConfigKey::ServiceAccount,
        GoogleConfigKey::ServiceAccountKey,
        GoogleConfigKey::ApplicationCredentials,
    ];
    !has_default && !configured.iter().any(|key| has(builder, *key))
}
