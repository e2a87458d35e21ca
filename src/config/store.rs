//! The kinds of object stores, by the scheme of an address, and the settings that each of them has.

use super::keys::{LAKE_AZURE, LAKE_S3, LAKE_STORE};

/// The addresses of a lake, for hints.
pub const ADDRESSES: &str =
    "use a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";

/// A kind of object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// S3 or a compatible store: `s3://bucket/prefix`.
    S3,
    /// Google Cloud Storage: `gs://bucket/prefix`.
    Google,
    /// Azure Blob Storage: `az://container/prefix`, also with the scheme `azure`, or
    /// `abfss://container@account.dfs.core.windows.net/prefix`.
    Azure,
}

impl StoreKind {
    /// Return the kind of store that an address names; `None` for a path and for another scheme.
    #[must_use]
    pub fn of(address: &str) -> Option<Self> {
        let (scheme, _) = address.split_once("://")?;
        match scheme {
            "s3" => Some(Self::S3),
            "gs" => Some(Self::Google),
            "az" | "azure" | "abfss" => Some(Self::Azure),
            _ => None,
        }
    }

    /// Return the name of the service.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Google => "Google Cloud Storage",
            Self::Azure => "Azure Blob Storage",
        }
    }

    /// Return the names of the settings of `[lake]` that the store has.
    pub(super) fn settings(self) -> Vec<&'static str> {
        let own = match self {
            Self::S3 => LAKE_S3.names(),
            Self::Google => Vec::new(),
            Self::Azure => LAKE_AZURE.names(),
        };
        [LAKE_STORE.names(), own].concat()
    }
}

/// Return the address that is likely meant by an address of an unknown scheme.
pub(super) fn suggested_address(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let scheme = match scheme {
        "s3a" | "s3n" => "s3",
        "gcs" => "gs",
        "abfs" if rest.contains('@') => "abfss",
        "abfs" | "adl" | "wasb" | "wasbs" => "az",
        _ => return None,
    };
    Some(format!("{scheme}://{rest}"))
}
