//! `[lake]`: where the Parquet goes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::Value;
use super::keys;
use super::layout::{self, FileLayout};
use super::load::Relative;
use super::section::Section;
use super::since::Since;
use crate::error::{Error, Result};
use crate::lake::Retention;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeConfig {
    /// A folder, or `s3://bucket/prefix`. A relative folder from the file is relative to the file; one from the
    /// environment or a flag to the working directory.
    pub url: String,
    /// Settings of the object store under object_store's own names (`endpoint`, `region`, …); never credentials.
    pub options: BTreeMap<String, String>,
    /// How long a publish to a bucket may be silent before another run takes over.
    pub lease: Option<Duration>,
    /// Bytes.
    pub memory_limit: Option<u64>,
    pub layout: FileLayout,
    /// Every version of every record is kept, in the layer `history`.
    pub keep_history: bool,
    /// The longest time that periods are made for, where brought tables alone say how long a project is known.
    pub longest_span: Since,
    /// Which run reports stay.
    pub retention: Retention,
}

/// What `longest_span` is where nothing is said: twenty years.
const LONGEST_SPAN: Since = Since::Months(240);

/// The usual names of what must not stand in a file.
const CREDENTIALS: [&str; 5] = [
    "access_key_id",
    "secret_access_key",
    "session_token",
    "token",
    "password",
];

const RETENTION: [&str; 2] = ["keep_runs", "keep_run_days"];

const GIB: u64 = 1 << 30;

pub(super) fn read(root: &Section<'_>, relative: &Relative<'_>) -> Result<LakeConfig> {
    let store = keys::LAKE_STORE.names();
    let known = [&keys::LAKE.names()[..], &store, &CREDENTIALS].concat();
    let hint = "add `[lake]` with `url = \"lake\"`, or pass --lake";
    let Some(lake) = root.section("lake", &known)? else {
        return Err(root.missing("lake", hint));
    };
    if let Some(key) = CREDENTIALS.iter().find(|key| lake.get(key).is_some()) {
        return Err(lake
            .error(key, "must not stand in the file")
            .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use the machine's role"));
    }
    let url = lake.required("url", hint)?;
    match url.split_once("://") {
        None | Some(("s3", _)) => {}
        Some((scheme, _)) => {
            return Err(lake
                .error("url", &format!("has the unknown scheme `{scheme}`"))
                .hint("name a folder or s3://bucket/prefix"));
        }
    }
    let mut options = BTreeMap::new();
    for key in store {
        let Some(node) = lake.get(key) else { continue };
        let text = match &node.value {
            Value::String(text) | Value::Given(text) => text.clone(),
            Value::Boolean(flag) => flag.to_string(),
            Value::Integer(number) => number.to_string(),
            _ => return Err(lake.wrong_type(key, "a single value", node)),
        };
        options.insert(key.to_owned(), text);
    }
    Ok(LakeConfig {
        url: relative.location(url, lake.place_of("url")),
        options,
        lease: lease(&lake)?,
        memory_limit: memory_limit(&lake)?,
        layout: layout::read(&lake)?,
        keep_history: lake.boolean("keep_history")?.unwrap_or_default(),
        longest_span: longest_span(&lake)?,
        retention: retention(&lake)?,
    })
}

fn retention(lake: &Section<'_>) -> Result<Retention> {
    let [runs, days] = RETENTION;
    let number = |key: &str| {
        let number = lake.positive(key, u32::MAX.into())?;
        Ok::<_, Error>(number.and_then(|number| u32::try_from(number).ok()))
    };
    let default = Retention::default();
    Ok(Retention {
        runs: number(runs)?.map_or(default.runs, |runs| runs as usize),
        days: number(days)?.unwrap_or(default.days),
    })
}

fn longest_span(lake: &Section<'_>) -> Result<Since> {
    let key = "longest_span";
    let Some(text) = lake.string(key)? else {
        return Ok(LONGEST_SPAN);
    };
    match Since::parse(&text) {
        Some(span @ (Since::Days(_) | Since::Months(_))) => Ok(span),
        _ => Err(lake
            .error(key, &format!("cannot be `{text}`"))
            .hint("write it as \"20 years\" or \"18 months\"")),
    }
}

fn lease(lake: &Section<'_>) -> Result<Option<Duration>> {
    let key = "lease";
    let Some(text) = lake.string(key)? else {
        return Ok(None);
    };
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "second" | "seconds" => Some(1),
        "minute" | "minutes" => Some(60),
        _ => None,
    };
    let seconds = unit.and_then(|unit| digits.trim().parse::<u32>().ok()?.checked_mul(unit));
    match seconds {
        Some(0) => Err(lake.error(key, "must be at least 1 second")),
        Some(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
        None => Err(lake
            .error(key, &format!("cannot be `{text}`"))
            .hint("write it as \"10 minutes\" or \"90 seconds\"")),
    }
}

fn memory_limit(lake: &Section<'_>) -> Result<Option<u64>> {
    let key = "memory_limit";
    let Some(text) = lake.string(key)? else {
        return Ok(None);
    };
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "GiB" => Some(GIB),
        "MiB" => Some(1 << 20),
        _ => None,
    };
    let bytes = unit.and_then(|unit| digits.trim().parse::<u64>().ok()?.checked_mul(unit));
    match bytes {
        Some(bytes) if bytes >= GIB => Ok(Some(bytes)),
        Some(_) => Err(lake.error(key, "must be at least 1 GiB")),
        None => Err(lake
            .error(key, &format!("cannot be `{text}`"))
            .hint("write it as \"4 GiB\" or \"1536 MiB\"")),
    }
}
