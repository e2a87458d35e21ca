//! Access to a bucket on S3 or a compatible store.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::Error as StoreError;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use url::Url;

use super::bucket::{
    Bucket, CANNOT_CONNECT, MachineIdentity, metadata_retries, retries, with_options,
};
use super::profile;
use crate::config::StoreKind;
use crate::error::{ErrorKind, OrError, Result};

/// Connect to the bucket that the host of `url` names.
///
/// # Errors
/// As [`super::bucket`].
pub(super) fn connect(url: Url, options: &BTreeMap<String, String>) -> Result<Bucket> {
    let bucket = url.host_str().unwrap_or_default();
    let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let builder = with_options(builder, options, |builder, key, value| {
        builder.with_config(key, value)
    })?;
    let builder = with_profile(builder, |name| std::env::var(name).ok())?;
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key));
    let store = build(builder)
        .or_error(ErrorKind::Configuration, CANNOT_CONNECT)
        .map_err(|error| error.with("bucket", bucket))?;
    Ok(Bucket {
        store: Arc::new(store),
        endpoint,
        url,
    })
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

/// Describe where the credentials come from. No request is sent.
///
/// # Errors
/// [`ErrorKind::Configuration`] for a profile without keys.
pub(super) fn credential_source(options: &BTreeMap<String, String>) -> Result<String> {
    use AmazonS3ConfigKey as Key;
    let mut builder = AmazonS3Builder::from_env();
    for (name, value) in options {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let has = |key: Key| builder.get_config_value(&key).is_some();
    Ok(match () {
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
    })
}

fn is_set(builder: &AmazonS3Builder, key: AmazonS3ConfigKey) -> bool {
    builder.get_config_value(&key).as_deref() == Some("true")
}

fn build(builder: AmazonS3Builder) -> Result<AmazonS3, StoreError> {
    if !needs_machine_role(&builder) {
        return builder.with_retry(retries()).build();
    }
    let machine = builder.clone().with_retry(metadata_retries()).build()?;
    let is_disabled = std::env::var("AWS_EC2_METADATA_DISABLED");
    let role = MachineIdentity {
        kind: StoreKind::S3,
        provider: Arc::clone(machine.credentials()),
        is_disabled: is_disabled.is_ok_and(|it| it.eq_ignore_ascii_case("true")),
    };
    builder
        .with_retry(retries())
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
