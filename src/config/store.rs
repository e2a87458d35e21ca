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

/// What an address is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressUse {
    /// A lake, whose address has neither a query nor a fragment.
    Lake,
    /// A `[[table]]`, whose address may have `?` as a glob.
    Table,
}

/// A part that an address must not have, because it is a secret or may have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPart {
    /// The part, as in "has a password".
    pub part: &'static str,
    /// The scheme and the host of the address, which may be shown.
    pub shown: String,
}

impl RefusedPart {
    /// Credentials are read from the environment, so that no report, log or lineage has them.
    pub const HINT: &'static str =
        "remove it: credentials come from the environment, such as AZURE_STORAGE_SAS_TOKEN";

    /// Return the part of `address` that must not be there; `None` for a permitted address, and for paths and `file://`.
    #[must_use]
    pub fn of(address: &str, used_as: AddressUse) -> Option<Self> {
        let (scheme, rest) = address
            .split_once("://")
            .filter(|(scheme, _)| *scheme != "file")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, behind_host) = host.split_once(':').unwrap_or((host, ""));
        // A password may have a slash, which ends the authority before its `@`.
        let has_password = user.contains(':')
            || (!behind_host.is_empty() && rest.len() > authority.len() && rest.contains('@'))
            || !behind_host.bytes().all(|byte| byte.is_ascii_digit());
        let part = match used_as {
            _ if has_password => "a password",
            AddressUse::Lake if rest.contains('?') => "a query",
            AddressUse::Lake if rest.contains('#') => "a fragment",
            AddressUse::Table if rest.to_ascii_lowercase().contains("sig=") => "a signature",
            _ => return None,
        };
        Some(Self {
            part,
            shown: format!("{scheme}://{host}"),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t";

    fn part(address: &str, used_as: AddressUse) -> Option<&'static str> {
        let refused = RefusedPart::of(address, used_as)?;
        assert!(!format!("{refused:?}").contains(SECRET), "{refused:?}");
        Some(refused.part)
    }

    #[test]
    fn an_address_with_a_secret_is_refused_and_not_shown() {
        for (address, lake, table) in [
            (
                "az://c/lake?sv=2022&sig=s3cr3t",
                Some("a query"),
                Some("a signature"),
            ),
            ("az://c?sig=s3cr3t", Some("a query"), Some("a signature")),
            ("az://c/lake#s3cr3t", Some("a fragment"), None),
            (
                "abfss://c:s3cr3t@a.dfs.core.windows.net/x",
                Some("a password"),
                Some("a password"),
            ),
            (
                "abfss://c:s3/cr3t+s3cr3t==@a.dfs.core.windows.net/x",
                Some("a password"),
                Some("a password"),
            ),
            (
                "abfss://c:1/s3cr3t==@a.dfs.core.windows.net/x",
                Some("a password"),
                Some("a password"),
            ),
            (
                "https://a.blob.core.windows.net/c?sig=s3cr3t",
                Some("a query"),
                Some("a signature"),
            ),
        ] {
            assert_eq!(part(address, AddressUse::Lake), lake, "{address}");
            assert_eq!(part(address, AddressUse::Table), table, "{address}");
        }
    }

    #[test]
    fn addresses_without_a_secret_are_permitted() {
        for address in [
            "lake",
            "C:/lake?x#y",
            "file:///lake#1",
            "s3://bucket/a:b@c",
            "s3://bucket",
            "abfss://c@a.dfs.core.windows.net/x",
        ] {
            assert_eq!(part(address, AddressUse::Lake), None, "{address}");
        }
        assert_eq!(part("az://c/[a]?.csv", AddressUse::Table), None);
    }
}
