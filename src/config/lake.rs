//! Reads `[lake]`: where the Parquet is written, and with which limits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::ConfigValue;
use super::keys;
use super::layout::{self, FileLayout};
use super::paths::BasePath;
use super::section::Section;
use super::since::Since;
use crate::error::Result;

/// `[lake]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeConfig {
    /// A folder, or `s3://bucket/prefix`. A relative folder of the file is relative to the file; a relative folder of
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
const CREDENTIALS: [&str; 5] = [
    "access_key_id",
    "secret_access_key",
    "session_token",
    "token",
    "password",
];

const GIB: u64 = 1 << 30;

pub(super) fn read(root: &Section<'_>, base: &BasePath<'_>) -> Result<LakeConfig> {
    let store = keys::LAKE_STORE.names();
    let known = [&keys::LAKE.names()[..], &store, &CREDENTIALS].concat();
    let hint = "add `[lake]` with `url = \"lake\"`, or pass --lake";
    let Some(lake) = root.section("lake", &known)? else {
        return Err(root.missing("lake", hint));
    };
    if let Some(key) = CREDENTIALS.iter().find(|key| lake.get(key).is_some()) {
        return Err(lake
            .error(key, "is a credential, which the file must not contain")
            .hint(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role of the machine",
            ));
    }
    let url = lake.required("url", hint)?;
    match url.split_once("://") {
        None | Some(("s3", _)) => {}
        Some((scheme, _)) => {
            return Err(lake
                .error("url", &format!("has the unknown scheme `{scheme}`"))
                .hint("use a folder or s3://bucket/prefix"));
        }
    }
    let mut options = BTreeMap::new();
    for key in store {
        let Some(node) = lake.get(key) else { continue };
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
