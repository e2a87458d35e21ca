//! Access to a bucket of an object store. The scheme of its address selects the store; credentials come from the
//! environment.
//!
//! ```text
//! s3.rs       AWS_ACCESS_KEY_ID … ─▶ web identity ─▶ keys of the profile ─▶ role of the container ─▶ role of the machine
//! google.rs   service account of GOOGLE_* ─▶ application default credentials ─▶ service account of the machine
//! azure.rs    token ─▶ key ─▶ workload identity ─▶ client secret ─▶ SAS ─▶ Azure CLI ─▶ identity of the machine
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{CredentialProvider, Error as StoreError, ObjectStore, RetryConfig};
use url::Url;

use super::store_errors::NoCredentials;
use super::{azure, google, s3};
use crate::config::{AddressUse, RefusedPart, StoreKind};
use crate::error::{Error, ErrorKind, OrError, Result};

pub(super) const CANNOT_CONNECT: &str = "cannot set up access to the bucket";

/// Limit of the retries of one request. Longer retries would delay the end of the run without helping.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_RETRIES: usize = 4;
/// The metadata service of a machine answers at once, or does not exist.
const METADATA_RETRY_TIMEOUT: Duration = Duration::from_secs(5);
const METADATA_MAX_RETRIES: usize = 2;

/// The store of a bucket.
pub(super) struct Bucket {
    /// The address of the bucket itself, as the configuration spells it.
    pub(super) url: Url,
    pub(super) store: Arc<dyn ObjectStore>,
    /// The address of the service, where the URL does not determine it.
    pub(super) endpoint: Option<String>,
}

/// Return the store of the bucket in `location`, and its address for the query engine; `None` for the address of a folder.
/// Credentials and defaults come from the environment. The names of `options` are those of the object_store crate.
///
/// # Errors
/// [`ErrorKind::Configuration`] for an option that object_store rejects, or credentials that cannot be read.
pub fn bucket(
    location: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<(Url, Arc<dyn ObjectStore>)>> {
    let bucket = connect(location, options)?;
    Ok(bucket.map(|bucket| (engine_url(&bucket.url), bucket.store)))
}

/// Return the same as [`bucket`], with the address that the configuration spells, and the endpoint.
pub(super) fn connect(
    location: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<Bucket>> {
    let Some(kind) = StoreKind::of(location) else {
        return Ok(None);
    };
    refuse_secrets(location, AddressUse::Table)?;
    let url = bucket_url(location, kind)?;
    let bucket = match kind {
        StoreKind::S3 => s3::connect(url, options),
        StoreKind::Google => google::connect(url, options),
        StoreKind::Azure => azure::connect(url, options),
    };
    bucket.map(Some)
}

/// Describe the source of the credentials of the bucket in `location`; `None` for the address of a folder. Sends no
/// request.
///
/// # Errors
/// [`ErrorKind::Configuration`] for an AWS profile without keys.
pub fn credential_source(
    location: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    match StoreKind::of(location) {
        None => Ok(None),
        Some(StoreKind::S3) => s3::credential_source(options).map(Some),
        Some(StoreKind::Google) => Ok(Some(google::credential_source(options))),
        Some(StoreKind::Azure) => Ok(Some(azure::credential_source(options))),
    }
}

/// Refuse an address whose secret would be in errors, reports and `_bitlake/store.json`.
///
/// # Errors
/// [`ErrorKind::Configuration`]; the message has neither the secret nor the path.
pub(super) fn refuse_secrets(address: &str, used_as: AddressUse) -> Result<()> {
    match RefusedPart::of(address, used_as) {
        None => Ok(()),
        Some(refused) => Err(Error::new(
            ErrorKind::Configuration,
            format!("the address of a bucket has {}", refused.part),
        )
        .with("address", refused.shown)
        .hint(RefusedPart::HINT)),
    }
}

/// Return the address of the bucket itself: `s3://bucket` of `s3://bucket/prefix`.
fn bucket_url(location: &str, kind: StoreKind) -> Result<Url> {
    let failed = |error: Error| {
        error.with("location", location).hint(match kind {
            StoreKind::S3 => "write it as s3://bucket/prefix",
            StoreKind::Google => "write it as gs://bucket/prefix",
            StoreKind::Azure => {
                "write it as az://container/prefix or abfss://container@account.dfs.core.windows.net/prefix"
            }
        })
    };
    let (bucket, _) = split_path(location);
    let url = Url::parse(bucket)
        .or_error(ErrorKind::Configuration, CANNOT_CONNECT)
        .map_err(failed)?;
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(url),
        _ => Err(failed(Error::new(ErrorKind::Configuration, CANNOT_CONNECT))),
    }
}

/// Return the address under which the query engine knows a bucket or a file in it. The engine tells stores apart by scheme
/// and host, so the container of `abfss://container@account…` becomes a part of the host.
pub(super) fn engine_url(url: &Url) -> Url {
    let container = url.username();
    if container.is_empty() {
        return url.clone();
    }
    let mut renamed = url.clone();
    let host = format!("{container}.{}", url.host_str().unwrap_or_default());
    match (renamed.set_username(""), renamed.set_host(Some(&host))) {
        (Ok(()), Ok(())) => renamed,
        _ => url.clone(),
    }
}

/// Return the address under which the query engine knows the files at `location`, a path or URL with globs.
#[must_use]
pub fn engine_location(location: &str) -> Cow<'_, str> {
    let (bucket, path) = split_path(location);
    match Url::parse(bucket) {
        Ok(url) if StoreKind::of(location) == Some(StoreKind::Azure) => {
            let bucket = engine_url(&url);
            Cow::Owned(format!("{}{path}", bucket.as_str().trim_end_matches('/')))
        }
        _ => Cow::Borrowed(location),
    }
}

/// Split `s3://bucket/path` into `s3://bucket` and `/path`.
fn split_path(location: &str) -> (&str, &str) {
    let slash = location.match_indices('/').nth(2);
    location.split_at(slash.map_or(location.len(), |(at, _)| at))
}

/// Set `options` by `set`, which takes the name of an option and its value.
///
/// # Errors
/// [`ErrorKind::Configuration`] for a name that object_store rejects.
pub(super) fn with_options<B, K>(
    builder: B,
    options: &BTreeMap<String, String>,
    set: impl Fn(B, K, &str) -> B,
) -> Result<B>
where
    K: std::str::FromStr<Err = StoreError>,
{
    let mut builder = builder;
    for (name, value) in options {
        let key: K = name
            .parse()
            .or_error(ErrorKind::Configuration, CANNOT_CONNECT)
            .map_err(|error: Error| error.with("option", name))?;
        builder = set(builder, key, value);
    }
    Ok(builder)
}

/// Return the retries of requests to a store.
pub(super) fn retries() -> RetryConfig {
    RetryConfig {
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    }
}

/// Return the retries of requests to the metadata service of a machine.
pub(super) fn metadata_retries() -> RetryConfig {
    RetryConfig {
        max_retries: METADATA_MAX_RETRIES,
        retry_timeout: METADATA_RETRY_TIMEOUT,
        ..RetryConfig::default()
    }
}

/// Provides the credentials that a machine has from its cloud. Fails with [`NoCredentials`] if the machine has none.
#[derive(Debug)]
pub(super) struct MachineIdentity<C> {
    pub(super) kind: StoreKind,
    pub(super) provider: Arc<dyn CredentialProvider<Credential = C>>,
    /// Whether requests to the metadata service are disabled.
    pub(super) is_disabled: bool,
}

impl<C: std::fmt::Debug + Send + Sync> CredentialProvider for MachineIdentity<C> {
    type Credential = C;

    fn get_credential<'a, 'b>(&'a self) -> BoxFuture<'b, object_store::Result<Arc<C>>>
    where
        'a: 'b,
        Self: 'b,
    {
        async move {
            let source = if self.is_disabled {
                None
            } else {
                match self.provider.get_credential().await {
                    Ok(credential) => return Ok(credential),
                    Err(error) => {
                        tracing::debug!("the machine has no credentials: {error}");
                        Some(error)
                    }
                }
            };
            let kind = self.kind;
            Err(StoreError::Unauthenticated {
                path: String::new(),
                source: NoCredentials { kind, source }.into(),
            })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_of_one_account_are_stores_of_their_own() {
        let engine = |location: &str| {
            let kind = StoreKind::of(location).unwrap();
            engine_url(&bucket_url(location, kind).unwrap()).to_string()
        };
        let of = |container: &str| {
            engine(&format!(
                "abfss://{container}@acme.dfs.core.windows.net/lake/a"
            ))
        };
        assert_eq!(of("one"), "abfss://one.acme.dfs.core.windows.net");
        assert_ne!(of("one"), of("two"));
        assert_eq!(
            engine_location("abfss://one@acme.dfs.core.windows.net/a b/*.csv"),
            "abfss://one.acme.dfs.core.windows.net/a b/*.csv"
        );
        for same in ["s3://b/x?.csv", "az://c/[a]*", "folder/*.csv"] {
            assert_eq!(engine_location(same), same);
        }
        for same in ["s3://b", "gs://b_1.x", "az://c"] {
            assert_eq!(engine(&format!("{same}/lake")), same);
        }
    }

    #[test]
    fn an_address_without_a_bucket_is_refused_with_the_form_to_write() {
        for (location, form) in [
            ("s3:///x", "s3://bucket/prefix"),
            ("gs://", "gs://bucket/prefix"),
            ("az:///x", "az://container/prefix"),
        ] {
            let error = connect(location, &BTreeMap::new()).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(form), "{error}");
        }
    }

    #[test]
    fn an_address_with_a_secret_is_refused_without_it() {
        for location in [
            "abfss://c:s3cr3t@acme.dfs.core.windows.net/lake",
            "az://c/lake?sv=2022&sig=s3cr3t",
        ] {
            let error = connect(location, &BTreeMap::new()).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(!error.to_string().contains("s3cr3t"), "{error}");
        }
    }
}
