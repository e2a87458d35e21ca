//! What a store answers when it does not do what it was asked, told so that somebody can act.

use std::io::ErrorKind as Io;

use object_store::Error as StoreError;

use crate::error::{Error, ErrorKind};

pub(super) fn cannot(what: &str, path: &str, error: StoreError) -> Error {
    let hint = hint(&error);
    Error::new(ErrorKind::Lake, what)
        .with("file", path)
        .source(error)
        .hint(hint)
}

/// The condition of a put did not hold.
pub(super) fn is_refused(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }
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
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}
