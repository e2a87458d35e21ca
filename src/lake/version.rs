//! Versions of the lake's objects, and the error of a conditional put that lost against another writer.

use object_store::{ObjectMeta, PutMode, PutResult, UpdateVersion};

use crate::digest::sha256_hex;
use crate::error::{Error, ErrorKind};

/// One version of an object of the lake: its ETag and, in a bucket with versioning, its version id. On local disk, where
/// an inode and its time can come again, the SHA-256 of the content stands for the ETag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion(pub(super) UpdateVersion);

impl ObjectVersion {
    pub(super) fn of_put(put: PutResult) -> Self {
        Self(UpdateVersion {
            e_tag: put.e_tag,
            version: put.version,
        })
    }

    pub(super) fn of_object(meta: ObjectMeta) -> Self {
        Self(UpdateVersion {
            e_tag: meta.e_tag,
            version: meta.version,
        })
    }

    pub(super) fn of_content(content: &[u8]) -> Self {
        Self(UpdateVersion {
            e_tag: Some(sha256_hex(content)),
            version: None,
        })
    }

    /// Whether a conditional put with `mode` succeeds while `current` is the object's version.
    pub(super) fn satisfies(current: Option<&Self>, mode: &PutMode) -> bool {
        match mode {
            PutMode::Overwrite => true,
            PutMode::Create => current.is_none(),
            PutMode::Update(expected) => {
                current.is_some_and(|Self(current)| current.e_tag == expected.e_tag)
            }
        }
    }
}

/// The cause of an error for which [`is_lost_race`] holds.
#[derive(Debug, thiserror::Error)]
#[error("another run changed the lake meanwhile")]
struct LostRace;

/// Whether a put was refused because the object had changed: the caller may read the object again and retry.
#[must_use]
pub fn is_lost_race(error: &Error) -> bool {
    error.find_cause::<LostRace>().is_some()
}

pub(super) fn lost_race(path: &str) -> Error {
    Error::new(ErrorKind::Lake, LostRace.to_string())
        .with("file", path)
        .source(LostRace)
        .hint("wait for it to end, then run again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_race_is_recognized_by_its_cause_and_shown_once() {
        let error = lost_race("_bitlake/manifest.json");
        assert!(is_lost_race(&error));
        assert_eq!(
            error.to_string(),
            "another run changed the lake meanwhile (file=_bitlake/manifest.json): wait for it to end, then run again"
        );
        let same_text = Error::new(ErrorKind::Lake, LostRace.to_string());
        assert!(!is_lost_race(&same_text));
    }
}
