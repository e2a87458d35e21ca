//! The envelope of a page.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A page as Bitbucket sends it. Only `values` is mandatory.
#[derive(Deserialize)]
pub(super) struct PageEnvelope {
    pub(super) values: Vec<Box<RawValue>>,
    /// The number of records of the list. A value that is not a count is ignored, so that the page is not lost.
    #[serde(default, deserialize_with = "count")]
    pub(super) size: Option<u64>,
    /// The page size that the server used; may be smaller than requested.
    #[serde(default, deserialize_with = "count")]
    pub(super) pagelen: Option<u64>,
    /// The URL of the next page.
    pub(super) next: Option<String>,
}

impl PageEnvelope {
    /// Return the number of records of the page.
    pub(super) fn len(&self) -> u64 {
        self.values.len() as u64
    }
}

fn count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let value = Option::<&RawValue>::deserialize(input)?;
    Ok(value.and_then(|value| value.get().parse().ok()))
}
