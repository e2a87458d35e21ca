//! Faults on demand: refuse, delay, replace or interrupt the reply to any request, so that a test meets what production
//! meets once a month.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use crate::errors::{self, SandboxReply, Service};

/// A rule for some requests. The first active rule that matches a request applies; a rule without `status` and `body` keeps
/// the real reply and only delays, alters or interrupts it. `faults.json` contains a list of rules:
///
/// ```json
/// [{"match": ["/pullrequests?", "page=2"], "skip": 0, "times": 1, "status": 429, "headers": {"retry-after": "1"}}]
/// ```
///
/// `{endpoint}` in a header or in a text of the body is replaced by the sandbox's endpoint.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Substrings of path and query as sent, all of which must occur; in JSON a text or a list of texts.
    #[serde(rename = "match", deserialize_with = "one_or_many")]
    pub matches: Vec<String>,
    /// The number of matching requests to ignore first.
    #[serde(default)]
    pub skip: u64,
    /// How many requests the rule applies to; `"always"` or `None`: all.
    #[serde(default, deserialize_with = "times")]
    pub times: Option<u64>,
    /// The status to reply with; default with a `body`: 200.
    pub status: Option<u16>,
    /// Headers to set.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body: a text is sent as it is, any other value as JSON. Default with a `status`: Bitbucket's usual body for it.
    pub body: Option<Value>,
    /// Members to set in the reply's JSON object; null removes a member.
    #[serde(default)]
    pub set: Map<String, Value>,
    /// How long to wait before the reply, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Where to break the reply off.
    pub cut: Option<Interruption>,
    /// Follow every page by another with the first page's records, each slightly changed.
    #[serde(default)]
    pub endless: bool,
    /// Begin later pages this many records early, as if new records had been inserted at the front meanwhile.
    #[serde(default)]
    pub shift: usize,
    /// Replace the reply by a page with one text of this many bytes; `gzip` compresses it at least a hundredfold.
    pub huge: Option<u64>,
    /// Compress the body of `huge`.
    #[serde(default)]
    pub gzip: bool,
    /// Append the request's headers to the body, as the error pages of some proxies do.
    #[serde(default)]
    pub echo: bool,
    /// Apply random transient faults to some of the requests.
    pub random: Option<RandomFaults>,
}

/// Random transient faults, equal for equal seed and order of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomFaults {
    /// Equal seeds give equal faults.
    pub seed: u64,
    /// How many of a thousand requests meet a fault.
    pub per_thousand: u64,
}

/// Where a reply breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// The connection closes before the first byte of the reply.
    Connection,
    /// The connection closes after this many bytes of the body that the head announces.
    Body(usize),
    /// The body is truncated to this many bytes without an error in HTTP: a client notices when it parses the body.
    Text(usize),
    /// The body stops after this many bytes, and the connection remains open.
    Stall(usize),
}

impl Fault {
    /// Return a rule for requests whose path and query contain `text`; it changes nothing until more is set.
    pub fn on(text: impl Into<String>) -> Self {
        Self {
            matches: vec![text.into()],
            ..Self::default()
        }
    }

    /// Require another substring of path and query.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>) -> Self {
        self.matches.push(text.into());
        self
    }

    /// Ignore the first matching requests.
    #[must_use]
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Apply to this many requests only.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Reply with this status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Set a header of the reply.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Set the body: a text is sent as it is, any other value as JSON.
    #[must_use]
    pub fn body(mut self, body: impl Into<Value>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Set one member of the reply's JSON object.
    #[must_use]
    pub fn set(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set.insert(member.into(), value.into());
        self
    }

    /// Wait before the reply.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_ms = delay.as_millis().try_into().unwrap_or(u64::MAX);
        self
    }

    /// Break the reply off.
    #[must_use]
    pub fn cut(mut self, cut: Interruption) -> Self {
        self.cut = Some(cut);
        self
    }

    /// Make the list endless.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// Begin later pages this many records early.
    #[must_use]
    pub fn shift(mut self, records: usize) -> Self {
        self.shift = records;
        self
    }

    /// Reply with one text of this many bytes.
    #[must_use]
    pub fn huge(mut self, bytes: u64) -> Self {
        self.huge = Some(bytes);
        self
    }

    /// Compress the body of [`Fault::huge`].
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Append the request's headers to the body.
    #[must_use]
    pub fn echo(mut self) -> Self {
        self.echo = true;
        self
    }

    /// Return a rule of transient faults for this many of a thousand requests of any kind.
    pub fn random(seed: u64, per_thousand: u64) -> Self {
        Self {
            random: Some(RandomFaults { seed, per_thousand }),
            ..Self::default()
        }
    }

    /// Return the reply that replaces the real one, if the rule has one.
    pub(crate) fn replacement(&self, service: Service, endpoint: &str) -> Option<SandboxReply> {
        let reply = match (&self.body, self.status) {
            (None, None) => return None,
            (None, Some(status)) => errors::standard(status, service),
            (Some(Value::String(text)), status) => {
                SandboxReply::text(status.unwrap_or(200), &text.replace("{endpoint}", endpoint))
            }
            (Some(body), status) => {
                SandboxReply::json(status.unwrap_or(200), &with_endpoint(body, endpoint))
            }
        };
        Some(reply)
    }

    /// Apply every alteration except delay and interruption, which concern the sending.
    pub(crate) fn alter(&self, mut reply: SandboxReply, endpoint: &str) -> SandboxReply {
        if !self.set.is_empty()
            && let Ok(Value::Object(mut object)) = serde_json::from_slice(&reply.body)
        {
            for (member, value) in &self.set {
                if value.is_null() {
                    object.remove(member);
                } else {
                    object.insert(member.clone(), with_endpoint(value, endpoint));
                }
            }
            reply.body = Value::Object(object).to_string().into_bytes();
        }
        for (name, value) in &self.headers {
            reply.set_header(name, &value.replace("{endpoint}", endpoint));
        }
        reply
    }
}

/// One page of an endless list.
pub(crate) struct Endless {
    /// The address of the real first page.
    pub first: Url,
    number: u64,
}

impl Endless {
    pub(super) fn of(asked: &Url) -> Self {
        let paging = |key: &str| key == "page" || key == "ctx";
        let pairs = asked.query_pairs().into_owned();
        let (paging, others): (Vec<_>, Vec<_>) = pairs.partition(|(key, _)| paging(key));
        let number = paging.iter().find_map(|(_, value)| value.parse().ok());
        let mut first = asked.clone();
        first.query_pairs_mut().clear().extend_pairs(others);
        Self {
            first,
            number: number.unwrap_or(1),
        }
    }

    pub(super) fn alter(&self, mut reply: SandboxReply) -> SandboxReply {
        let Ok(Value::Object(mut page)) = serde_json::from_slice(&reply.body) else {
            return reply;
        };
        if !page.contains_key("values") {
            return reply;
        }
        let mut next = self.first.clone();
        next.query_pairs_mut()
            .append_pair("page", &(self.number + 1).to_string());
        page.insert("next".to_owned(), next.to_string().into());
        if page.contains_key("size") {
            page.insert("size".to_owned(), ((self.number + 2) * 100).into());
        }
        let records = page.get_mut("values").and_then(Value::as_array_mut);
        for record in records
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            record.insert("endless_page".to_owned(), self.number.into());
        }
        reply.body = Value::Object(page).to_string().into_bytes();
        reply
    }
}

impl RandomFaults {
    /// Return the fault of the `n`-th request, if it meets one.
    fn draw(self, n: u64) -> Option<Fault> {
        let random = mix(mix(self.seed).wrapping_add(n));
        if random % 1000 >= self.per_thousand {
            return None;
        }
        let fault = Fault::default();
        let bytes = usize::try_from(random >> 48).unwrap_or_default() % 200;
        Some(match (random >> 32) % 11 {
            0 => fault.status(408),
            1 => fault.status(429),
            2 => fault.status(500),
            3 => fault.status(502),
            4 => fault.status(503),
            5 => fault.status(504),
            6 => fault.body(""),
            7 => fault.cut(Interruption::Connection),
            8 => fault.cut(Interruption::Body(bytes)),
            9 => fault.cut(Interruption::Text(bytes)),
            _ => fault.cut(Interruption::Stall(bytes)),
        })
    }
}

/// Mix the bits of a number (splitmix64).
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The active rules; each counts the requests it has matched.
#[derive(Default)]
pub(crate) struct Faults(Vec<(Fault, u64)>);

impl Faults {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        Self(faults.into_iter().map(|fault| (fault, 0)).collect())
    }

    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    /// Return the rule that applies to this request, and count the request.
    pub(super) fn strike(&mut self, path_and_query: &str) -> Option<Fault> {
        for (fault, seen) in &mut self.0 {
            let fits = fault
                .matches
                .iter()
                .all(|text| path_and_query.contains(text.as_str()));
            if !fits {
                continue;
            }
            let before = *seen;
            *seen += 1;
            let spent = fault
                .times
                .is_some_and(|times| before >= fault.skip.saturating_add(times));
            if before < fault.skip || spent {
                continue;
            }
            match fault.random {
                None => return Some(fault.clone()),
                Some(random) => match random.draw(before) {
                    Some(fault) => return Some(fault),
                    None => continue,
                },
            }
        }
        None
    }
}

fn with_endpoint(value: &Value, endpoint: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{endpoint}", endpoint)),
        Value::Array(items) => items
            .iter()
            .map(|item| with_endpoint(item, endpoint))
            .collect(),
        Value::Object(object) => object
            .iter()
            .map(|(key, item)| (key.clone(), with_endpoint(item, endpoint)))
            .collect(),
        other => other.clone(),
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(input)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    })
}

fn times<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TimesValue {
        Number(u64),
        Word(Always),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Always {
        Always,
    }
    Ok(match TimesValue::deserialize(input)? {
        TimesValue::Number(times) => Some(times),
        TimesValue::Word(Always::Always) => None,
    })
}
