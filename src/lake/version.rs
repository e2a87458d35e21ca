//! Versions of the lake's objects, and the error of a conditional put that lost against another writer.

use object_store::{ObjectMeta, PutMode, PutResult, UpdateVersion};

use crate::digest::sha256_hex;
use crate::error::{Error, ErrorKind};

/// What a store compares for the condition of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConditionKind {
    /// The ETag. S3 gives the same content the same ETag.
    ETag,
    /// The generation, a number that every put increases. Google gives the same content the same ETag, but not the same
    /// generation.
    Generation,
}

/// One version of an object of the lake: its ETag and its version id, which is the generation on Google Cloud Storage and
/// elsewhere exists in buckets with versioning. On local disk, where an inode and its time can come again, the SHA-256 of
/// the content stands for the ETag.
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
    pub(super) fn satisfies(current: Option<&Self>, mode: &PutMode, kind: ConditionKind) -> bool {
        let expected = match mode {
            PutMode::Overwrite => return true,
            PutMode::Create => return current.is_none(),
            PutMode::Update(expected) => expected,
        };
        current.is_some_and(|Self(current)| match kind {
            ConditionKind::ETag => current.e_tag == expected.e_tag,
            ConditionKind::Generation => current.version == expected.version,
        })
    }

    /// Whether the store can compare this version: a version that was recorded in another kind of store has no generation.
    pub(super) fn is_comparable(&self, kind: ConditionKind) -> bool {
        let Self(UpdateVersion { e_tag, version }) = self;
        match kind {
            ConditionKind::ETag => e_tag.is_some(),
            ConditionKind::Generation => {
                version.as_ref().is_some_and(|it| it.parse::<u64>().is_ok())
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

    fn version(e_tag: &str, version: Option<&str>) -> ObjectVersion {
        ObjectVersion(UpdateVersion {
            e_tag: Some(e_tag.to_owned()),
            version: version.map(str::to_owned),
        })
    }

    #[test]
    fn the_same_content_put_again_is_another_version_where_generations_are_compared() {
        let (first, again) = (version("e", Some("1")), version("e", Some("2")));
        let mode = PutMode::Update(first.0.clone());
        let satisfies = |kind| ObjectVersion::satisfies(Some(&again), &mode, kind);
        assert!(satisfies(ConditionKind::ETag));
        assert!(!satisfies(ConditionKind::Generation));
    }

    #[test]
    fn a_version_of_another_kind_of_store_is_not_compared() {
        for (found, is_generation) in [
            (version("e", None), false),
            (version("e", Some("3sL4kqtJlcpXroDTDmJ")), false),
            (version("e", Some("1764523135000001")), true),
        ] {
            assert!(found.is_comparable(ConditionKind::ETag));
            assert_eq!(
                found.is_comparable(ConditionKind::Generation),
                is_generation
            );
        }
    }

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
