//! Walks a list page by page, in the one of two ways that its endpoint can do.
//!
//! A list must arrive whole or not at all: a page that is missing, repeated or from elsewhere fails the walk, because
//! half a list taken for a full one is worse than an error.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::ask::{Answer, ApiTarget, Ask, Remedy};
use super::client::Client;
use super::endpoints::{Endpoint, Paging};
use super::failures::removed;
use super::reply::Refusal;
use super::retry::is_overload;
use super::{safe_url, same_origin};
use crate::error::{Error, ErrorKind, Result};
use crate::json;

/// Commits that an address names at most; it has 40 characters for each.
const LONGEST_RANGE: usize = 100;

/// A page that is too much for the server is halved down to so many records.
const SMALLEST_PAGE: u16 = 10;
/// A list may grow to twice its size and some pages more while it is read; beyond, it does not end.
const GROWTH: u64 = 2;
const MORE_PAGES: u64 = 20;

/// Records as received, in the server's order.
#[derive(Debug)]
pub struct Page {
    pub values: Vec<Box<RawValue>>,
    /// How many records the whole list has, where the server says so.
    pub size: Option<u64>,
    /// Bitbucket's clock when it answered.
    pub date: Option<DateTime<Utc>>,
}

/// Why there is nothing to read: said by the first request, for an endpoint where that is a fact and not a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    pub status: StatusCode,
    pub reason: String,
    /// Commits asked from or up to that the repository does not have (any more).
    pub unknown_commits: Vec<String>,
    /// Scopes that the list asks for and those that the token has, where the refusal names them.
    pub required_scopes: Vec<String>,
    pub granted_scopes: Vec<String>,
}

impl Unavailable {
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            unknown_commits: Vec::new(),
            required_scopes: Vec::new(),
            granted_scopes: Vec::new(),
        }
    }
}

/// The outcome of one step of a walk.
#[derive(Debug)]
pub enum NextPage {
    Page(Page),
    End,
    /// Only as the first outcome.
    Unavailable(Unavailable),
}

/// The outcome of asking for one record.
#[derive(Debug)]
pub enum RecordLookup {
    Found {
        value: Box<RawValue>,
        date: Option<DateTime<Utc>>,
    },
    Unavailable(Unavailable),
}

#[derive(Deserialize)]
struct Envelope {
    values: Vec<Box<RawValue>>,
    /// One that is no count says nothing, and costs nobody the page.
    #[serde(default, deserialize_with = "count")]
    size: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    pagelen: Option<u64>,
    next: Option<String>,
}

fn count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let value = Option::<&RawValue>::deserialize(input)?;
    Ok(value.and_then(|value| value.get().parse().ok()))
}

/// A walk under way.
pub struct Pages {
    client: Client,
    endpoint: &'static Endpoint,
    target: ApiTarget,
    filter: Option<String>,
    /// A parameter of the endpoint's own that narrows the list.
    only: Option<(&'static str, &'static str)>,
    sort: Option<&'static str>,
    fields: Option<&'static str>,
    pagelen: u16,
    /// `include` and `exclude` of commits.
    range: Vec<(&'static str, String)>,
    /// `None` once the list has ended.
    next: Option<Url>,
    started: bool,
    resumed: bool,
    size: Option<u64>,
    number: u64,
    read: u64,
    /// Pages received, and how many a list of this length can have.
    pages: u64,
    max_pages: Option<u64>,
    seen: HashSet<String>,
    last: Option<(String, String)>,
    requests: AtomicU64,
}

impl Client {
    /// Starts a walk; the first request goes out with [`Pages::next`].
    pub fn list(&self, endpoint: &'static Endpoint, target: ApiTarget) -> Pages {
        Pages {
            client: self.clone(),
            endpoint,
            target,
            filter: None,
            only: None,
            sort: endpoint.sort,
            fields: endpoint.fields,
            pagelen: endpoint.pagelen,
            range: Vec::new(),
            next: None,
            started: false,
            resumed: false,
            size: None,
            number: 1,
            read: 0,
            pages: 0,
            max_pages: None,
            seen: HashSet::new(),
            last: None,
            requests: AtomicU64::new(0),
        }
    }

    /// Asks for one record.
    pub async fn get(
        &self,
        endpoint: &'static Endpoint,
        target: &ApiTarget,
    ) -> Result<RecordLookup> {
        let url = self.url(endpoint, target)?;
        let requests = AtomicU64::new(0);
        let ask = Ask {
            endpoint,
            target,
            url,
            requests: &requests,
            remedy: Remedy::None,
            patience: 0,
            form: &[],
        };
        match self
            .fetch(&ask, |body| {
                let value: Box<RawValue> = json::from_body(body)?;
                match value.get().starts_with('{') {
                    true => Ok(value),
                    false => Err(serde::de::Error::custom("expected an object")),
                }
            })
            .await?
        {
            Answer::Value { value, date } => Ok(RecordLookup::Found { value, date }),
            Answer::Refused { refusal, identity } => match self.unavailable(endpoint, &refusal) {
                Some(unavailable) => Ok(RecordLookup::Unavailable(unavailable)),
                None => Err(self.refused(&ask, &refusal, identity)),
            },
        }
    }

    /// What a refused first request means where that is a fact about the repository.
    fn unavailable(&self, endpoint: &Endpoint, refusal: &Refusal) -> Option<Unavailable> {
        let status = refusal.status;
        if refusal.html || refusal.is_wrong_path() || endpoint.unavailable.is_empty() {
            return None;
        }
        if status == StatusCode::UNAUTHORIZED && self.is_anonymous() {
            let reason = "not readable without credentials (401)".to_owned();
            return Some(Unavailable::new(status, reason));
        }
        let (_, meaning) = endpoint
            .unavailable
            .iter()
            .find(|(listed, _)| *listed == status.as_u16())?;
        let said = match refusal.message.as_str() {
            "" => format!("{meaning} ({})", status.as_u16()),
            said => format!("{meaning} ({} {said})", status.as_u16()),
        };
        let reason = match (refusal.status, refusal.required_scopes.as_slice()) {
            (StatusCode::GONE, _) => format!("{said}: {}", removed(endpoint, refusal)),
            (StatusCode::FORBIDDEN, required @ [_, ..]) => {
                format!("the token lacks scope {} (403)", required.join(" and "))
            }
            _ => said,
        };
        Some(Unavailable {
            unknown_commits: refusal.unknown_commits.clone(),
            required_scopes: refusal.required_scopes.clone(),
            granted_scopes: refusal.granted_scopes.clone(),
            ..Unavailable::new(status, reason)
        })
    }
}

impl Pages {
    /// Restricts the walk to what `filter` (`q`) finds, where the server can do that. It is a saving, not a promise:
    /// the caller cuts as well.
    #[must_use]
    pub fn with_filter(mut self, filter: Option<String>) -> Self {
        self.filter = filter;
        self
    }

    /// Restricts the walk by a parameter that only this endpoint has; no promise either.
    #[must_use]
    pub fn with_parameter(mut self, parameter: Option<(&'static str, &'static str)>) -> Self {
        self.only = parameter;
        self
    }

    /// Commits reachable from `include` and not from `exclude`. More than fit into an address are sent as a form.
    #[must_use]
    pub fn with_commit_range(mut self, include: Vec<String>, exclude: Vec<String>) -> Self {
        let pairs = |name: &'static str, commits: Vec<String>| {
            commits.into_iter().map(move |commit| (name, commit))
        };
        self.range = pairs("include", include)
            .chain(pairs("exclude", exclude))
            .collect();
        self
    }

    /// Asks for pages of another size than the walk's, and, of a list that counts its pages, from this one on.
    #[must_use]
    pub fn with_page(mut self, pagelen: u16, page: u64) -> Self {
        self.pagelen = pagelen;
        self.number = page;
        self
    }

    /// Goes on at the page that an earlier walk's [`Pages::cursor`] named.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] for a cursor that is no page of this API.
    pub fn resume(mut self, cursor: &str) -> Result<Self> {
        let url = Url::parse(cursor).ok();
        let url = url.filter(|url| same_origin(url, self.client.endpoint()));
        let Some(url) = url else {
            return Err(Error::new(
                ErrorKind::Api,
                "the walk cannot go on where it stopped",
            ));
        };
        self.started = true;
        self.resumed = true;
        match self.endpoint.paging {
            Paging::Next => self.next = Some(url),
            Paging::Counted => {
                let page = url.query_pairs().find(|(key, _)| key == "page");
                self.number = page.and_then(|(_, page)| page.parse().ok()).unwrap_or(1);
                self.next = Some(self.build()?);
            }
        }
        Ok(self)
    }

    /// The page to be asked for next; `None` at the end of the list.
    pub fn cursor(&self) -> Option<String> {
        self.next.as_ref().map(Url::to_string)
    }

    /// Whether the server was asked to filter and did not refuse.
    pub fn is_filtered(&self) -> bool {
        self.filter.is_some()
    }

    /// Whether no page has arrived yet.
    pub fn has_no_page(&self) -> bool {
        self.read == 0
    }

    /// Pages that are still to come, where the server says how long the list is.
    pub fn remaining_pages(&self) -> Option<u64> {
        let size = self.size?;
        Some(
            size.div_ceil(self.pagelen.into())
                .saturating_sub(self.number.saturating_sub(1)),
        )
    }

    /// Requests sent by this walk, retries included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The order the server was asked for and did not refuse.
    pub fn sort(&self) -> Option<&'static str> {
        self.sort
    }

    /// The next page, the end, or why there is nothing.
    pub async fn next(&mut self) -> Result<NextPage> {
        let first = !self.started;
        let sends_form = first && self.sends_form();
        if first {
            self.started = true;
            self.next = Some(self.build()?);
        }
        let Some(url) = self.next.take() else {
            return Ok(NextPage::End);
        };
        if !self.seen.insert(url.as_str().to_owned()) {
            return Err(self.broken(&url, "the list repeats a page it has already given"));
        }
        let mut url = url;
        let mut patience = self.client.limits().first_contact_retries;
        let (envelope, date) = loop {
            let remedy = match (self.smaller(), self.sort) {
                (Some(_), _) => Remedy::Smaller,
                (None, Some(_)) if first => Remedy::Unsorted,
                _ => Remedy::None,
            };
            let ask = Ask {
                endpoint: self.endpoint,
                target: &self.target,
                url: url.clone(),
                requests: &self.requests,
                remedy,
                patience,
                form: if sends_form { &self.range } else { &[] },
            };
            match self.client.fetch(&ask, json::from_body::<Envelope>).await? {
                Answer::Value { value, date } => break (value, date),
                Answer::Refused { refusal, identity } => {
                    let error = self.client.refused(&ask, &refusal, identity);
                    if is_overload(refusal.status)
                        && let Some(smaller) = self.smaller()
                    {
                        tracing::debug!(%error, smaller, "asking for a smaller page");
                        patience = 0;
                        url = self.shrink(&url, smaller)?;
                        continue;
                    }
                    if !first {
                        return Err(error);
                    }
                    if let Some(unavailable) = self.client.unavailable(self.endpoint, &refusal) {
                        return Ok(NextPage::Unavailable(unavailable));
                    }
                    if !self.ask_for_less(&refusal) {
                        return Err(error);
                    }
                    tracing::debug!(%error, "asking for less");
                    url = self.build()?;
                }
            }
        };
        self.number = self.number.saturating_add(1);
        self.size = envelope.size;
        self.read += envelope.values.len() as u64;
        self.pages += 1;
        let of_size = |size: u64| {
            let pages = (size / u64::from(SMALLEST_PAGE)).saturating_mul(GROWTH);
            pages.saturating_add(MORE_PAGES)
        };
        let limit = self.client.limits().max_pages;
        let most = *self
            .max_pages
            .get_or_insert(envelope.size.map_or(limit, of_size));
        if self.pages > most {
            let error = self
                .broken(&url, "the list does not end")
                .with("pages", self.pages);
            return Err(error);
        }
        self.next = match self.endpoint.paging {
            Paging::Next => self.follow(&url, &envelope)?,
            Paging::Counted => self.count(&url, &envelope)?,
        };
        match (envelope.values.is_empty(), self.next.is_none()) {
            (true, true) if !first => Ok(NextPage::End),
            _ => Ok(NextPage::Page(Page {
                values: envelope.values,
                size: envelope.size,
                date,
            })),
        }
    }

    fn build(&self) -> Result<Url> {
        let mut url = self.client.url(self.endpoint, &self.target)?;
        let mut query = url.query_pairs_mut();
        query.append_pair("pagelen", &self.pagelen.to_string());
        if self.endpoint.paging == Paging::Counted {
            query.append_pair("page", &self.number.to_string());
        }
        query.extend_pairs(self.endpoint.params);
        query.extend_pairs(self.only);
        for (name, value) in [
            ("q", self.filter.as_deref()),
            ("sort", self.sort),
            ("fields", self.fields),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if !self.sends_form() {
            query.extend_pairs(&self.range);
        }
        drop(query);
        Ok(url)
    }

    fn sends_form(&self) -> bool {
        self.range.len() > LONGEST_RANGE
    }

    /// Half of the page, where it holds more than the server keeps in one place.
    fn smaller(&self) -> Option<u16> {
        let embeds = self.fields.is_some_and(|fields| fields.contains('+'));
        let half = self.pagelen / 2;
        (embeds && half >= SMALLEST_PAGE).then_some(half)
    }

    /// The address of the first of the smaller pages that hold what `url` names. Where pages are numbered, it may begin
    /// a few records early.
    fn shrink(&mut self, url: &Url, pagelen: u16) -> Result<Url> {
        let number = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.find(|(key, _)| key == name)?.1.parse::<u64>().ok()
        };
        let before = number("pagelen").unwrap_or(self.pagelen.into());
        let page = number("page");
        let page = page.map(|page| {
            let read = page.saturating_sub(1).saturating_mul(before);
            (read / u64::from(pagelen)).saturating_add(1)
        });
        self.pagelen = pagelen;
        self.number = page.unwrap_or(self.number);
        if self.read == 0 && !self.resumed || self.endpoint.paging == Paging::Counted {
            return self.build();
        }
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let mut smaller = url.clone();
        let pairs = pairs
            .into_iter()
            .map(|(key, value)| match (key.as_str(), page) {
                ("pagelen", _) => (key, pagelen.to_string()),
                ("page", Some(page)) => (key, page.to_string()),
                _ => (key, value),
            });
        smaller.query_pairs_mut().clear().extend_pairs(pairs);
        Ok(smaller)
    }

    /// After a refused first page: gives up what the server may have stumbled over. `false` when nothing is left.
    fn ask_for_less(&mut self, refusal: &Refusal) -> bool {
        match refusal.status {
            // A sort over several states fails on big repositories, always.
            status if is_overload(status) => {
                self.pagelen = self.endpoint.pagelen;
                self.sort.take().is_some()
            }
            StatusCode::BAD_REQUEST
                if refusal.mentions("pagelen") && self.pagelen > SMALLEST_PAGE =>
            {
                self.pagelen = (self.pagelen / 2).max(SMALLEST_PAGE);
                true
            }
            StatusCode::BAD_REQUEST if refusal.mentions("field") && !refusal.mentions("sort") => {
                self.fields.take().is_some() || self.sort.take().is_some()
            }
            StatusCode::BAD_REQUEST => {
                self.only.take().is_some()
                    || self.sort.take().is_some()
                    || self.fields.take().is_some()
                    || self.filter.take().is_some()
            }
            _ => false,
        }
    }

    fn follow(&self, url: &Url, envelope: &Envelope) -> Result<Option<Url>> {
        let Some(next) = &envelope.next else {
            // `next` is lost silently when a `fields` list forgets it.
            let full = Some(envelope.values.len() as u64) == envelope.pagelen;
            return match envelope.size {
                Some(size) if full && self.read < size && self.number == 2 && !self.resumed => {
                    Err(self
                        .broken(url, "the list ends early")
                        .with("read", self.read)
                        .with("size", size))
                }
                _ => Ok(None),
            };
        };
        let next = url.join(next).map_err(|source| {
            self.broken(url, "the next page is not a URL")
                .source(source)
        })?;
        let masker = self.client.masker();
        if !same_origin(&next, self.client.endpoint()) {
            let to = safe_url(&next);
            return Err(self
                .broken(url, "the next page is on another host")
                .with("next", masker.mask(&to))
                .hint("check endpoint and proxy: credentials are not sent to other hosts"));
        }
        // It would reach the state, where a paused walk keeps the address that it goes on at.
        if masker.is_in(next.as_str()) {
            return Err(self
                .broken(url, "the next page's address repeats the credentials")
                .hint("check endpoint and proxy"));
        }
        Ok(Some(next))
    }

    fn count(&mut self, url: &Url, envelope: &Envelope) -> Result<Option<Url>> {
        let got = envelope.values.len() as u64;
        // The server may give less than was asked, and then a short page is not the last one.
        let asked = u64::from(self.pagelen);
        let pagelen = envelope.pagelen.filter(|given| *given > 0);
        let pagelen = pagelen.unwrap_or(asked).min(asked);
        let read = self.number.saturating_sub(1).saturating_mul(pagelen);
        // A size below what has arrived already is wrong: the list goes on as long as its pages are full.
        let ended = match envelope.size.filter(|size| *size >= self.read) {
            Some(size) => got == 0 || read >= size,
            None => got < pagelen,
        };
        let ends = envelope.values.first().zip(envelope.values.last());
        let ends = ends.map(|(first, last)| (first.get().to_owned(), last.get().to_owned()));
        if ends.is_some() && ends == self.last {
            return Err(self.broken(url, "the list repeats a page it has already given"));
        }
        self.last = ends;
        if ended {
            Ok(None)
        } else {
            self.build().map(Some)
        }
    }

    fn broken(&self, url: &Url, what: &str) -> Error {
        let ask = Ask {
            endpoint: self.endpoint,
            target: &self.target,
            url: url.clone(),
            requests: &self.requests,
            remedy: Remedy::None,
            patience: 0,
            form: &[],
        };
        self.client.place(Error::new(ErrorKind::Api, what), &ask)
    }
}
