//! Faults on demand: any request can be refused, delayed, answered with something else or cut off, so that a test
//! meets what production meets once a month.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use crate::errors::{self, SandboxReply, Service};

/// One rule. The first live rule whose `match` fits answers; a rule without `status` and `body` lets the real answer
/// through and only delays, alters or cuts it. In `faults.json`, a list of them:
///
/// ```json
/// [{"match": ["/pullrequests?", "page=2"], "skip": 0, "times": 1, "status": 429, "headers": {"retry-after": "1"}}]
/// ```
///
/// `{endpoint}` in a header or in a text of the body stands for the sandbox's own root.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Substrings of path and query as sent; all must occur. In JSON a text or a list of texts.
    #[serde(rename = "match", deserialize_with = "one_or_many")]
    pub matches: Vec<String>,
    /// Lets this many matching requests through first.
    #[serde(default)]
    pub skip: u64,
    /// How often it strikes; absent or `"always"`: every time.
    #[serde(default, deserialize_with = "times")]
    pub times: Option<u64>,
    pub status: Option<u16>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A text is sent as it is, anything else as JSON. DisabledFeature with a `status`: Bitbucket's usual body for it.
    pub body: Option<Value>,
    /// Members laid over the answer's JSON object; null takes a member away.
    #[serde(default)]
    pub set: Map<String, Value>,
    #[serde(default)]
    pub delay_ms: u64,
    pub cut: Option<Interruption>,
    /// Every page is followed by another, with the first page's records again, each a little different.
    #[serde(default)]
    pub endless: bool,
    /// Later pages begin so many records early, as if new ones had come to the list's front meanwhile.
    #[serde(default)]
    pub shift: usize,
    /// Instead of the answer a page with one text of so many bytes; `gzip` packs it to a hundredth and less.
    pub huge: Option<u64>,
    #[serde(default)]
    pub gzip: bool,
    /// The body repeats the request's headers, as the error pages of some proxies do.
    #[serde(default)]
    pub echo: bool,
    /// Strikes some requests only, and each in another way that passes.
    pub random: Option<RandomFaults>,
}

/// Faults that pass, at random: the same for the same seed and order of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomFaults {
    pub seed: u64,
    /// So many of a thousand requests.
    pub per_thousand: u64,
}

/// Where an answer ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// The connection closes without a byte of an answer.
    Connection,
    /// The head promises the whole body, the connection closes after this many bytes of it.
    Body(usize),
    /// A complete answer that holds only this many bytes: a client sees it only when parsing.
    Text(usize),
    /// After this many bytes of the body nothing more comes, and the connection stays open.
    Stall(usize),
}

impl Fault {
    /// A rule for requests whose path and query hold `text`; without more it changes nothing.
    pub fn on(text: impl Into<String>) -> Self {
        Self {
            matches: vec![text.into()],
            ..Self::default()
        }
    }

    #[must_use]
    pub fn and(mut self, text: impl Into<String>) -> Self {
        self.matches.push(text.into());
        self
    }

    #[must_use]
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// A text is sent as it is, anything else as JSON.
    #[must_use]
    pub fn body(mut self, body: impl Into<Value>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Lays one member over the answer's JSON object.
    #[must_use]
    pub fn set(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set.insert(member.into(), value.into());
        self
    }

    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_ms = delay.as_millis().try_into().unwrap_or(u64::MAX);
        self
    }

    #[must_use]
    pub fn cut(mut self, cut: Interruption) -> Self {
        self.cut = Some(cut);
        self
    }

    /// Makes the list endless.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// Lets later pages begin so many records early.
    #[must_use]
    pub fn shift(mut self, records: usize) -> Self {
        self.shift = records;
        self
    }

    /// Answers with one text of so many bytes.
    #[must_use]
    pub fn huge(mut self, bytes: u64) -> Self {
        self.huge = Some(bytes);
        self
    }

    /// Packs what [`Fault::huge`] says.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Repeats the request's headers in the body.
    #[must_use]
    pub fn echo(mut self) -> Self {
        self.echo = true;
        self
    }

    /// Passing faults for so many of a thousand requests, whatever they ask.
    pub fn random(seed: u64, per_thousand: u64) -> Self {
        Self {
            random: Some(RandomFaults { seed, per_thousand }),
            ..Self::default()
        }
    }

    /// The answer that replaces the real one, if this rule has one.
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

    /// Everything but the delay and the cut, which belong to the sending.
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

/// One page of a list without end.
pub(crate) struct Endless {
    /// The address of the list's true first page.
    pub first: Url,
    number: u64,
}

impl Endless {
    pub fn of(asked: &Url) -> Self {
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

    pub fn alter(&self, mut reply: SandboxReply) -> SandboxReply {
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
    /// What the `n`-th request meets.
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

/// splitmix64
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The rules in force; each counts its own strikes.
#[derive(Default)]
pub(crate) struct Faults(Vec<(Fault, u64)>);

impl Faults {
    pub fn new(faults: Vec<Fault>) -> Self {
        Self(faults.into_iter().map(|fault| (fault, 0)).collect())
    }

    pub fn push(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    /// The rule that strikes this request, counted as used.
    pub fn strike(&mut self, path_and_query: &str) -> Option<Fault> {
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
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Texts::deserialize(input)? {
        Texts::One(text) => vec![text],
        Texts::Many(texts) => texts,
    })
}

fn times<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Times {
        Number(u64),
        Word(Always),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Always {
        Always,
    }
    Ok(match Times::deserialize(input)? {
        Times::Number(times) => Some(times),
        Times::Word(Always::Always) => None,
    })
}
