//! S3 as object_store speaks it: one place that knows how a bucket is reached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{ObjectStore, RetryConfig};

use crate::error::{Error, ErrorKind, OrError, Result};

/// Long enough for a passing fault, short enough that a machine without credentials says so.
const RETRY_FOR: Duration = Duration::from_secs(30);
const RETRIES: usize = 4;

/// The bucket of `s3://bucket/…`, or `None` for another address. Credentials and defaults come from the usual `AWS_*`
/// environment or the machine's role; `options` are the `[lake]`'s, under object_store's names.
///
/// # Errors
/// [`ErrorKind::Configuration`] for an option's value that object_store does not take.
pub fn bucket(
    location: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<(reqwest::Url, Arc<dyn ObjectStore>)>> {
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
    let url = reqwest::Url::parse(&format!("s3://{bucket}"))
        .or_error(ErrorKind::Configuration, failed)
        .map_err(|error| error.with("location", location))?;
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(RetryConfig {
            max_retries: RETRIES,
            retry_timeout: RETRY_FOR,
            ..RetryConfig::default()
        });
    for (name, value) in options {
        let key: AmazonS3ConfigKey = name
            .parse()
            .or_error(ErrorKind::Configuration, failed)
            .map_err(|error: Error| error.with("option", name))?;
        builder = builder.with_config(key, value);
    }
    let store = builder
        .build()
        .or_error(ErrorKind::Configuration, failed)
        .map_err(|error| error.with("bucket", bucket))?;
    Ok(Some((url, Arc::new(store))))
}
