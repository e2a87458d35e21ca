//! Errors of a store, with a hint at what the user can do.

use std::io::ErrorKind as IoErrorKind;

use object_store::Error as StoreError;

use crate::config::StoreKind;
use crate::error::{Error, ErrorKind, find_cause};

/// No credentials to sign requests with were found.
#[derive(Debug, thiserror::Error)]
#[error("no {} credentials", self.provider())]
pub(super) struct NoCredentials {
    pub(super) kind: StoreKind,
    pub(super) source: Option<StoreError>,
}

impl NoCredentials {
    fn provider(&self) -> &'static str {
        match self.kind {
            StoreKind::S3 => "AWS",
            StoreKind::Google => "Google",
            StoreKind::Azure => "Azure",
        }
    }

    fn hint(&self) -> &'static str {
        match self.kind {
            StoreKind::S3 => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile that has keys in AWS_PROFILE, or give \
                 the machine a role"
            }
            StoreKind::Google => {
                "name a service account file in GOOGLE_APPLICATION_CREDENTIALS, or give the machine a service account"
            }
            StoreKind::Azure => {
                "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or give the machine a managed identity"
            }
        }
    }
}

/// Build the error of a failed operation on `path`.
pub(super) fn store_error(message: &str, path: &str, error: StoreError) -> Error {
    if let Some(missing) = find_cause::<NoCredentials>(&error) {
        return Error::new(ErrorKind::Lake, missing.to_string())
            .with("file", path)
            .hint(missing.hint());
    }
    let hint = hint(&error);
    Error::new(ErrorKind::Lake, message)
        .with("file", path)
        .source(error)
        .hint(hint)
}

/// Whether a conditional put was refused: its condition did not hold, or S3 could not decide (409).
pub(super) fn is_refused(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::AlreadyExists { .. }
            | StoreError::Precondition { .. }
            | StoreError::NotModified { .. }
    )
}

/// Whether another attempt at the request cannot succeed.
pub(super) fn is_permanent(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::PermissionDenied { .. }
            | StoreError::Unauthenticated { .. }
            | StoreError::NotImplemented { .. }
            | StoreError::NotSupported { .. }
    )
}

fn hint(error: &StoreError) -> &'static str {
    if matches!(
        error,
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }
    ) {
        return "check the credentials and what they may do there";
    }
    match find_cause::<std::io::Error>(error).map(std::io::Error::kind) {
        Some(IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded | IoErrorKind::FileTooLarge) => {
            "free some space, then run again"
        }
        Some(IoErrorKind::PermissionDenied | IoErrorKind::ReadOnlyFilesystem) => {
            "check the folder's permissions"
        }
        _ => "check `lake.url` and that the store can be reached, then run again",
    }
}
