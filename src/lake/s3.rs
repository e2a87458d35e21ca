//! Access to a bucket on S3 or a compatible store.
//!
//! Credentials come from the first of:
//!
//! ```text
//! AWS_ACCESS_KEY_ID … ─▶ web identity ─▶ keys of the profile ─▶ role of the container ─▶ role of the machine
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider,
};
use object_store::{CredentialProvider, Error as StoreError, ObjectStore, RetryConfig};
use url::Url;

use super::profile;
use super::store_errors::NoCredentials;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Limit of the retries of one request. Longer retries would delay the end of the run without helping.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_RETRIES: usize = 4;
/// The metadata service of a machine answers at once, or does not exist.
const METADATA_RETRY_TIMEOUT: Duration = Duration::from_secs(5);
const METADATA_MAX_RETRIES: usize = 2;

/// The store of a bucket.
pub(super) struct Bucket {
    pub(super) url: Url,
    pub(super) store: Arc<dyn ObjectStore>,
    /// The endpoint, if it is not AWS's own.
    pub(super) endpoint: Option<String>,
}

/// Return the address and the store of the bucket in `s3://bucket/…`; `None` for another address. Credentials and defaults
/// come from the `AWS_*` variables, a profile or the machine's role; `options` have the names of
/// [`AmazonS3ConfigKey`].
///
/// # Errors
/// [`ErrorKind::Configuration`] for an option that object_store rejects, or a profile without keys.
pub fn bucket(
    location: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<(Url, Arc<dyn ObjectStore>)>> {
    let bucket = connect(location, options)?;
    Ok(bucket.map(|bucket| (bucket.url, bucket.store)))
}

/// As [`bucket`], with the endpoint.
pub(super) fn connect(
    location: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<Bucket>> {
    let Some(path) = location.strip_prefix("s3://") else {
        return Ok(None);
    };
    let bucket = path.split('/').next().unwrap_or_default();
    let failed = "cannot set up access to the bucket";
    if bucket.is_empty() {
        return Err(Error::new(ErrorKind::Configuration, failed)
            .with("location", location)
            .hint("write it as s3://bucket/prefix"));
    }
    let url = Url::parse(&format!("s3://{bucket}"))
        .or_error(ErrorKind::Configuration, failed)
        .map_err(|error| error.with("location", location))?;
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    for (name, value) in options {
        let key: AmazonS3ConfigKey = name
            .parse()
            .or_error(ErrorKind::Configuration, failed)
            .map_err(|error: Error| error.with("option", name))?;
        builder = builder.with_config(key, value);
    }
    builder = with_profile(builder, |name| std::env::var(name).ok())?;
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key));
    let store = build(builder)
        .or_error(ErrorKind::Configuration, failed)
        .map_err(|error| error.with("bucket", bucket))?;
    Ok(Some(Bucket {
        url,
        store: Arc::new(store),
        endpoint,
    }))
}

/// Add the keys of the profile if there are no others, and its region if none is configured.
fn with_profile(
    mut builder: AmazonS3Builder,
    env: impl Fn(&str) -> Option<String>,
) -> Result<AmazonS3Builder> {
    use AmazonS3ConfigKey as Key;
    let has = |builder: &AmazonS3Builder, key: Key| builder.get_config_value(&key).is_some();
    if has(&builder, Key::AccessKeyId)
        || has(&builder, Key::SecretAccessKey)
        || has(&builder, Key::WebIdentityTokenFile)
        || is_set(&builder, Key::SkipSignature)
    {
        return Ok(builder);
    }
    let profile = profile::read(env)?;
    if let Some(keys) = profile.keys {
        builder = builder
            .with_access_key_id(keys.id.expose())
            .with_secret_access_key(keys.secret.expose());
        if let Some(token) = keys.session_token {
            builder = builder.with_token(token.expose());
        }
    }
    match profile.region {
        Some(region) if !has(&builder, Key::Region) => Ok(builder.with_region(region)),
        _ => Ok(builder),
    }
}

/// Describe where the credentials of the bucket in `s3://bucket/…` come from; `None` for another address. No request is sent.
///
/// # Errors
/// [`ErrorKind::Configuration`] for a profile without keys.
pub fn credential_source(
    location: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    use AmazonS3ConfigKey as Key;
    if !location.starts_with("s3://") {
        return Ok(None);
    }
    let mut builder = AmazonS3Builder::from_env();
    for (name, value) in options {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let has = |key: Key| builder.get_config_value(&key).is_some();
    Ok(Some(match () {
        () if is_set(&builder, Key::SkipSignature) => "none, requests are not signed".to_owned(),
        () if has(Key::AccessKeyId) || has(Key::SecretAccessKey) => {
            "the environment variable AWS_ACCESS_KEY_ID".to_owned()
        }
        () if has(Key::WebIdentityTokenFile) => {
            "the web identity of AWS_WEB_IDENTITY_TOKEN_FILE".to_owned()
        }
        () if profile::read(env)?.keys.is_some() => {
            let name = env("AWS_PROFILE").or_else(|| env("AWS_DEFAULT_PROFILE"));
            format!("the profile {}", name.as_deref().unwrap_or("default"))
        }
        () if !needs_machine_role(&builder) => "the role of the container".to_owned(),
        () => "the role of the machine".to_owned(),
    }))
}

fn is_set(builder: &AmazonS3Builder, key: AmazonS3ConfigKey) -> bool {
    builder.get_config_value(&key).as_deref() == Some("true")
}

fn build(builder: AmazonS3Builder) -> Result<AmazonS3, StoreError> {
    let retry = RetryConfig {
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    if !needs_machine_role(&builder) {
        return builder.with_retry(retry).build();
    }
    let metadata_retry = RetryConfig {
        max_retries: METADATA_MAX_RETRIES,
        retry_timeout: METADATA_RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    let role = builder.clone().with_retry(metadata_retry).build()?;
    let role = MachineRole(Arc::clone(role.credentials()));
    builder
        .with_retry(retry)
        .with_credentials(Arc::new(role))
        .build()
}

/// Whether there are no credentials but the machine's role, by the rules of object_store.
fn needs_machine_role(builder: &AmazonS3Builder) -> bool {
    use AmazonS3ConfigKey as Key;
    let has = |key: Key| builder.get_config_value(&key).is_some();
    let web_identity = has(Key::WebIdentityTokenFile) && has(Key::RoleArn);
    let container = has(Key::ContainerCredentialsRelativeUri)
        || has(Key::ContainerCredentialsFullUri) && has(Key::ContainerAuthorizationTokenFile);
    !(has(Key::AccessKeyId) || has(Key::SecretAccessKey) || web_identity || container)
}

/// Credentials of the machine's role. Fails with [`NoCredentials`] if the machine has none.
#[derive(Debug)]
struct MachineRole(AwsCredentialProvider);

impl CredentialProvider for MachineRole {
    type Credential = AwsCredential;

    fn get_credential<'a, 'b>(
        &'a self,
    ) -> BoxFuture<'b, object_store::Result<Arc<Self::Credential>>>
    where
        'a: 'b,
        Self: 'b,
    {
        async move {
            let disabled = std::env::var("AWS_EC2_METADATA_DISABLED");
            let failure = if disabled.is_ok_and(|it| it.eq_ignore_ascii_case("true")) {
                None
            } else {
                match self.0.get_credential().await {
                    Ok(credential) => return Ok(credential),
                    Err(error) => {
                        tracing::debug!("the machine has no role: {error}");
                        Some(error)
                    }
                }
            };
            Err(StoreError::Unauthenticated {
                path: String::new(),
                source: NoCredentials(failure).into(),
            })
        }
        .boxed()
    }
}
