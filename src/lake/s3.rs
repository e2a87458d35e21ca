//! S3 as object_store speaks it: one place that knows how a bucket is reached.
//!
//! ```text
//! keys of AWS_ACCESS_KEY_ID … ─▶ web identity ─▶ keys of the profile ─▶ container's role ─▶ machine's role
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
use reqwest::Url;

use super::profile;
use super::store_errors::NoCredentials;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Long enough for a passing fault, short enough that a run ends before its night does.
const RETRY_FOR: Duration = Duration::from_secs(30);
const RETRIES: usize = 4;
/// The machine's own metadata service answers at once, or there is none.
const METADATA_RETRY_FOR: Duration = Duration::from_secs(5);
const METADATA_RETRIES: usize = 2;

/// A bucket that can be asked.
pub(super) struct Bucket {
    pub(super) url: Url,
    pub(super) store: Arc<dyn ObjectStore>,
    /// Where it is reached, if not at AWS's own address.
    pub(super) endpoint: Option<String>,
}

/// The bucket of `s3://bucket/…`, or `None` for another address. Credentials and defaults come from the usual `AWS_*`
/// environment, a profile or the machine's role; `options` are the `[lake]`'s, under object_store's names.
///
/// # Errors
/// [`ErrorKind::Configuration`] for an option's value that object_store does not take, or a profile without keys.
pub fn bucket(
    location: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<(Url, Arc<dyn ObjectStore>)>> {
    let bucket = reach(location, options)?;
    Ok(bucket.map(|bucket| (bucket.url, bucket.store)))
}

/// The same, with its endpoint.
pub(super) fn reach(location: &str, options: &BTreeMap<String, String>) -> Result<Option<Bucket>> {
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

/// With the keys of the profile where none are given otherwise, and its region where none is.
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

fn is_set(builder: &AmazonS3Builder, key: AmazonS3ConfigKey) -> bool {
    builder.get_config_value(&key).as_deref() == Some("true")
}

fn build(builder: AmazonS3Builder) -> Result<AmazonS3, StoreError> {
    let patient = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
        ..RetryConfig::default()
    };
    if !asks_the_machine(&builder) {
        return builder.with_retry(patient).build();
    }
    let brief = RetryConfig {
        max_retries: METADATA_RETRIES,
        retry_timeout: METADATA_RETRY_FOR,
        ..RetryConfig::default()
    };
    let role = builder.clone().with_retry(brief).build()?;
    let role = MachineRole(Arc::clone(role.credentials()));
    builder
        .with_retry(patient)
        .with_credentials(Arc::new(role))
        .build()
}

/// Whether nothing but the machine's role is left to sign requests with, as object_store decides.
fn asks_the_machine(builder: &AmazonS3Builder) -> bool {
    use AmazonS3ConfigKey as Key;
    let has = |key: Key| builder.get_config_value(&key).is_some();
    let web_identity = has(Key::WebIdentityTokenFile) && has(Key::RoleArn);
    let container = has(Key::ContainerCredentialsRelativeUri)
        || has(Key::ContainerCredentialsFullUri) && has(Key::ContainerAuthorizationTokenFile);
    !(has(Key::AccessKeyId) || has(Key::SecretAccessKey) || web_identity || container)
}

/// The machine's role, where a machine without one says that there are no credentials.
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
            let failure = match disabled.is_ok_and(|it| it.eq_ignore_ascii_case("true")) {
                true => None,
                false => match self.0.get_credential().await {
                    Ok(credential) => return Ok(credential),
                    Err(error) => {
                        tracing::debug!("the machine gives no role: {error}");
                        Some(error)
                    }
                },
            };
            Err(StoreError::Unauthenticated {
                path: String::new(),
                source: NoCredentials(failure).into(),
            })
        }
        .boxed()
    }
}
