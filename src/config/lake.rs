//! Reads `[lake]`: where the Parquet is written, and with which limits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::ConfigValue;
use super::keys;
use super::layout::{self, FileLayout};
use super::paths::BasePath;
use super::section::Section;
use super::since::Since;
use super::store::{self, AddressUse, StoreKind};
use crate::error::{Error, Result};

/// `[lake]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeConfig {
    /// A folder, or the address of a bucket or container; see [`StoreKind`]. A relative folder of the file is relative to the file; a relative folder of
    /// an override is relative to the working directory.
    pub url: String,
    /// Settings of the object store under the names of the `object_store` crate (`endpoint`, `region`, …), without
    /// credentials.
    pub options: BTreeMap<String, String>,
    /// How long a publish to a bucket may be silent before another run takes over; `None` for the default.
    pub lease: Option<Duration>,
    /// The maximum resident size of the process in bytes; `None` for the default.
    pub memory_limit: Option<u64>,
    /// How files are partitioned and compressed.
    pub layout: FileLayout,
    /// Whether the layer `history` keeps every version of every record.
    pub keep_history: bool,
    /// The longest time that periods are generated for if only outside tables say how long a project has existed.
    pub longest_span: Since,
    /// The maximum number of run reports to keep; `None` for the default.
    pub keep_runs: Option<u32>,
    /// The maximum age of a run report in days; `None` for the default.
    pub keep_run_days: Option<u32>,
}

/// The default of `longest_span`: twenty years.
const LONGEST_SPAN: Since = Since::Months(240);

/// Keys of credentials, which are refused: `[lake]` must not contain secrets.
const CREDENTIALS: [&str; 14] = [
    "access_key_id",
    "secret_access_key",
    "session_token",
    "token",
    "password",
    "service_account",
    "service_account_key",
    "access_key",
    "account_key",
    "sas_key",
    "sas_token",
    "client_secret",
    "bearer_token",
    "connection_string",
];

const GIB: u64 = 1 << 30;

pub(super) fn read(root: &Section<'_>, base: &BasePath<'_>) -> Result<LakeConfig> {
    let settings = [
        keys::LAKE_STORE.names(),
        keys::LAKE_S3.names(),
        keys::LAKE_AZURE.names(),
    ]
    .concat();
    let known = [&keys::LAKE.names()[..], &settings, &CREDENTIALS].concat();
    let hint = "add `[lake]` with `url = \"lake\"`, or pass --lake";
    let Some(lake) = root.section("lake", &known)? else {
        return Err(root.missing("lake", hint));
    };
    let url = lake.required("url", hint)?;
    lake.check_address("url", &url, AddressUse::Lake)?;
    let kind = StoreKind::of(&url);
    if let Some(key) = CREDENTIALS.iter().find(|key| lake.get(key).is_some()) {
        return Err(lake
            .error(key, "is a credential, which the file must not contain")
            .hint(credentials_hint(kind)));
    }
    if kind.is_none() && url.contains("://") {
        return Err(unknown_scheme(&lake, &url));
    }
    let mut options = BTreeMap::new();
    for key in settings {
        let Some(node) = lake.get(key) else { continue };
        if let Some(kind) = kind.filter(|kind| !kind.settings().contains(&key)) {
            return Err(lake
                .error(key, &format!("is no setting of {}", kind.name()))
                .hint(format!("remove it: the lake is at {url}")));
        }
        let text = match &node.value {
            ConfigValue::String(text) | ConfigValue::Override(text) => text.clone(),
            ConfigValue::Boolean(flag) => flag.to_string(),
            ConfigValue::Integer(number) => number.to_string(),
            _ => return Err(lake.wrong_type(key, "a single value", node)),
        };
        options.insert(key.to_owned(), text);
    }
    Ok(LakeConfig {
        url: base.resolve(url, lake.place_of("url")),
        options,
        lease: read_lease(&lake)?,
        memory_limit: read_memory_limit(&lake)?,
        layout: layout::read(&lake)?,
        keep_history: lake.boolean("keep_history")?.unwrap_or_default(),
        longest_span: read_longest_span(&lake)?,
        keep_runs: read_count(&lake, "keep_runs")?,
        keep_run_days: read_count(&lake, "keep_run_days")?,
    })
}

impl LakeConfig {
    /// Return the store settings for the files of a `[[table]]` at `location`: those of the lake that the store has, unless
    /// the lake is in another kind of store.
    #[must_use]
    pub fn options_at(&self, location: &str) -> BTreeMap<String, String> {
        let Some(kind) = StoreKind::of(location) else {
            return BTreeMap::new();
        };
        if StoreKind::of(&self.url).is_some_and(|own| own != kind) {
            return BTreeMap::new();
        }
        let settings = kind.settings();
        let mut options = self.options.clone();
        options.retain(|key, _| settings.contains(&key.as_str()));
        options
    }
}

fn credentials_hint(kind: Option<StoreKind>) -> &'static str {
    match kind {
        Some(StoreKind::Google) => {
            "name a service account file in GOOGLE_APPLICATION_CREDENTIALS, or use the service account of the machine"
        }
        Some(StoreKind::Azure) => {
            "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or use the identity of the machine"
        }
        Some(StoreKind::S3) | None => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role of the machine"
        }
    }
}

fn unknown_scheme(lake: &Section<'_>, url: &str) -> Error {
    let scheme = url.split_once("://").map_or(url, |(scheme, _)| scheme);
    let error = lake.error("url", &format!("has the unknown scheme `{scheme}`"));
    match store::suggested_address(url) {
        Some(address) => error.hint(format!("write {address}")),
        None => error.hint(store::ADDRESSES),
    }
}

/// Read an integer from 1 to 4,294,967,295.
fn read_count(lake: &Section<'_>, key: &str) -> Result<Option<u32>> {
    let number = lake.positive(key, u32::MAX.into())?;
    Ok(number.and_then(|number| u32::try_from(number).ok()))
}

fn read_longest_span(lake: &Section<'_>) -> Result<Since> {
    let key = "longest_span";
    let Some(text) = lake.string(key)? else {
        return Ok(LONGEST_SPAN);
    };
    match Since::parse(&text) {
        Some(span @ (Since::Days(_) | Since::Months(_))) => Ok(span),
        _ => Err(lake
            .error(key, &format!("cannot be `{text}`"))
            .hint("write a value such as \"20 years\" or \"18 months\"")),
    }
}

fn read_lease(lake: &Section<'_>) -> Result<Option<Duration>> {
    let key = "lease";
    let Some(text) = lake.string(key)? else {
        return Ok(None);
    };
    let (number, unit) = split_unit(&text);
    let unit = match unit {
        "second" | "seconds" => Some(1),
        "minute" | "minutes" => Some(60),
        _ => None,
    };
    let seconds = unit.and_then(|unit| number.parse::<u32>().ok()?.checked_mul(unit));
    match seconds {
        Some(0) => Err(lake.error(key, "must be at least 1 second")),
        Some(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
        None => Err(lake
            .error(key, &format!("cannot be `{text}`"))
            .hint("write a value such as \"10 minutes\" or \"90 seconds\"")),
    }
}

fn read_memory_limit(lake: &Section<'_>) -> Result<Option<u64>> {
    let key = "memory_limit";
    let Some(text) = lake.string(key)? else {
        return Ok(None);
    };
    let (number, unit) = split_unit(&text);
    let unit = match unit {
        "GiB" => Some(GIB),
        "MiB" => Some(1 << 20),
        _ => None,
    };
    let bytes = unit.and_then(|unit| number.parse::<u64>().ok()?.checked_mul(unit));
    match bytes {
        Some(bytes) if bytes >= GIB => Ok(Some(bytes)),
        Some(_) => Err(lake.error(key, "must be at least 1 GiB")),
        None => Err(lake
            .error(key, &format!("cannot be `{text}`"))
            .hint("write a value such as \"4 GiB\" or \"1536 MiB\"")),
    }
}

/// Split `90 seconds` into `90` and `seconds`.
fn split_unit(text: &str) -> (&str, &str) {
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.strip_prefix(number).unwrap_or_default();
    (number.trim(), unit.trim())
}
