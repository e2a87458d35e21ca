//! What a store answers when it does not do what it was asked, told so that somebody can act.

use std::io::ErrorKind as Io;

use object_store::Error as StoreError;

use crate::error::{Error, ErrorKind};

/// There is nothing to sign requests with.
#[derive(Debug, thiserror::Error)]
#[error("no AWS credentials")]
pub(super) struct NoCredentials(#[source] pub(super) Option<StoreError>);

pub(super) fn cannot(what: &str, path: &str, error: StoreError) -> Error {
    if find::<NoCredentials>(&error).is_some() {
        return Error::new(ErrorKind::Lake, "no AWS credentials")
            .with("file", path)
            .hint(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile that has keys in AWS_PROFILE, or give \
                 the machine a role",
            );
    }
    let hint = hint(&error);
    Error::new(ErrorKind::Lake, what)
        .with("file", path)
        .source(error)
        .hint(hint)
}

/// A conditional put was refused. Its condition did not hold, or S3 could not tell (409): what is there now decides.
pub(super) fn is_refused(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::AlreadyExists { .. }
            | StoreError::Precondition { .. }
            | StoreError::NotModified { .. }
    )
}

/// Asking again cannot help.
pub(super) fn is_final(error: &StoreError) -> bool {
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
    match io_kind(error) {
        Some(Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge) => {
            "free some space, then run again"
        }
        Some(Io::PermissionDenied | Io::ReadOnlyFilesystem) => "check the folder's permissions",
        _ => "check `lake.url` and that the store can be reached, then run again",
    }
}

/// What the operating system said, if it was asked.
fn io_kind(error: &StoreError) -> Option<Io> {
    find::<std::io::Error>(error).map(std::io::Error::kind)
}

/// The first cause of this type.
fn find<T: std::error::Error + 'static>(error: &StoreError) -> Option<&T> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
