//! Lists, read page by page.
//!
//! A list arrives completely or fails: a page that is missing, repeated or from another origin is an error.
//!
//! ```text
//! PageQuery: parameters ─┐
//! PageCursor: next page ─┴▶ URL ─▶ Client::fetch ─▶ PageEnvelope ─▶ ListGuard ─▶ NextPage
//! ```

mod cursor;
mod envelope;
mod guard;
mod query;

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use reqwest::Url;
use serde_json::value::RawValue;

use self::cursor::{PageCursor, resolve_next};
use self::envelope::PageEnvelope;
use self::guard::ListGuard;
use self::query::{PageQuery, number_in, with_page_size};
use super::client::Client;
use super::endpoints::{Endpoint, Paging};
use super::request::{ApiAnswer, ApiTarget, EndpointRequest, Fallback};
use super::retry::is_overload;
use super::unavailable::Unavailable;
use super::urls::is_same_origin;
use crate::error::{Error, ErrorKind, Result};
use crate::json;

/// The records of one page.
#[derive(Debug)]
pub struct Page {
    /// The records as received, in the order of the server.
    pub values: Vec<Box<RawValue>>,
    /// The number of records of the list, where the server reports it.
    pub size: Option<u64>,
    /// The `Date` header of the response.
    pub date: Option<DateTime<Utc>>,
}

/// The result of a request for the next page.
#[derive(Debug)]
pub enum NextPage {
    /// The next page.
    Page(Page),
    /// The list has no more pages.
    End,
    /// The server refuses the list for good. Only the first request returns it.
    Unavailable(Unavailable),
}

/// A response to the request for a page.
enum FetchedPage {
    Page {
        url: Url,
        envelope: PageEnvelope,
        date: Option<DateTime<Utc>>,
    },
    Unavailable(Unavailable),
}

/// A list that is read page by page.
pub struct Pages {
    client: Client,
    query: PageQuery,
    cursor: PageCursor,
    guard: ListGuard,
    /// The number of records of the list, where the server reports it.
    size: Option<u64>,
    requests: AtomicU64,
}

impl Client {
    /// Create a list. No request is sent before [`Pages::next`].
    #[must_use]
    pub fn list(&self, endpoint: &'static Endpoint, target: ApiTarget) -> Pages {
        Pages {
            client: self.clone(),
            query: PageQuery::new(endpoint, target),
            cursor: PageCursor::new(),
            guard: ListGuard::default(),
            size: None,
            requests: AtomicU64::new(0),
        }
    }
}

impl Pages {
    /// Filter the list by `filter` (`q`), unless the server refuses it. The caller filters as well.
    #[must_use]
    pub fn with_filter(mut self, filter: Option<String>) -> Self {
        self.query.filter = filter;
        self
    }

    /// Filter the list by a parameter that only this endpoint has, unless the server refuses it. The caller filters as
    /// well.
    #[must_use]
    pub fn with_parameter(mut self, parameter: Option<(&'static str, &'static str)>) -> Self {
        self.query.parameter = parameter;
        self
    }

    /// List the commits that are reachable from `include` and not from `exclude`. A range that does not fit into the URL
    /// is sent as a form.
    #[must_use]
    pub fn with_commit_range(mut self, include: Vec<String>, exclude: Vec<String>) -> Self {
        let pairs = |name: &'static str, commits: Vec<String>| {
            commits.into_iter().map(move |commit| (name, commit))
        };
        self.query.range = pairs("include", include)
            .chain(pairs("exclude", exclude))
            .collect();
        self
    }

    /// Read pages of `pagelen` records, starting at page number `page` where the endpoint counts pages.
    #[must_use]
    pub fn with_page(mut self, pagelen: u16, page: u64) -> Self {
        self.query.pagelen = pagelen;
        self.cursor.number = page;
        self
    }

    /// Continue at the page that [`Pages::cursor`] returned in an earlier run.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] for a cursor that is not a URL of this API.
    pub fn resume(mut self, cursor: &str) -> Result<Self> {
        let url = Url::parse(cursor).ok();
        let url = url.filter(|url| is_same_origin(url, self.client.endpoint()));
        let Some(url) = url else {
            return Err(Error::new(
                ErrorKind::Api,
                "the list cannot be resumed at its stored page",
            ));
        };
        self.cursor.is_started = true;
        self.cursor.is_resumed = true;
        match self.query.endpoint.paging {
            Paging::Linked => self.cursor.next = Some(url),
            Paging::Numbered => {
                self.cursor.number = number_in(&url, "page").unwrap_or(1);
                self.cursor.next = Some(self.url()?);
            }
        }
        Ok(self)
    }

    /// Return the URL of the next page; `None` at the end of the list.
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        self.cursor.next.as_ref().map(Url::to_string)
    }

    /// Whether the server accepts the filter, as far as it has answered.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.query.filter.is_some()
    }

    /// Whether no record has arrived yet.
    #[must_use]
    pub fn has_no_page(&self) -> bool {
        self.guard.read == 0
    }

    /// Return the number of pages that are left, where the server reports the size of the list.
    #[must_use]
    pub fn remaining_pages(&self) -> Option<u64> {
        let pages = self.size?.div_ceil(self.query.pagelen.into());
        Some(pages.saturating_sub(self.cursor.number.saturating_sub(1)))
    }

    /// Return the number of requests sent for this list, retries included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Return the order of the list; `None` when the server refuses it or fails on it.
    #[must_use]
    pub fn sort(&self) -> Option<&'static str> {
        self.query.sort
    }

    /// Fetch the next page.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] for a refused page after the first one and for a list that is not complete; the errors of an
    /// unreachable host and a used-up quota.
    pub async fn next(&mut self) -> Result<NextPage> {
        let is_first = !self.cursor.is_started;
        if is_first {
            self.cursor.is_started = true;
            self.cursor.next = Some(self.url()?);
        }
        let Some(url) = self.cursor.next.take() else {
            return Ok(NextPage::End);
        };
        let recorded = self.guard.record_request(&url);
        recorded.map_err(|error| self.locate(error, &url))?;
        let (url, envelope, date) = match self.fetch_page(url, is_first).await? {
            FetchedPage::Page {
                url,
                envelope,
                date,
            } => (url, envelope, date),
            FetchedPage::Unavailable(reason) => return Ok(NextPage::Unavailable(reason)),
        };
        let advanced = self.advance(&url, &envelope);
        advanced.map_err(|error| self.locate(error, &url))?;
        let is_last = self.cursor.next.is_none();
        if envelope.values.is_empty() && is_last && !is_first {
            return Ok(NextPage::End);
        }
        Ok(NextPage::Page(Page {
            values: envelope.values,
            size: envelope.size,
            date,
        }))
    }

    /// Fetch a page, with a smaller page or fewer parameters where the server refuses the request.
    async fn fetch_page(&mut self, mut url: Url, is_first: bool) -> Result<FetchedPage> {
        let form = if is_first && self.query.has_form() {
            self.query.range.clone()
        } else {
            Vec::new()
        };
        let mut retries = self.client.limits().first_contact_retries;
        loop {
            let request = EndpointRequest {
                endpoint: self.query.endpoint,
                target: &self.query.target,
                url: url.clone(),
                attempts: &self.requests,
                fallback: self.query.fallback(is_first),
                retries_before_fallback: retries,
                form: &form,
            };
            let answer = self.client.fetch(&request, json::from_body::<PageEnvelope>);
            let (refusal, identity) = match answer.await? {
                ApiAnswer::Refused { refusal, identity } => (refusal, identity),
                ApiAnswer::Value { value, date } => {
                    return Ok(FetchedPage::Page {
                        url,
                        envelope: value,
                        date,
                    });
                }
            };
            let error = self.client.refused(&request, &refusal, identity);
            if is_overload(refusal.status)
                && let Some(half) = self.query.half_page()
            {
                tracing::debug!(%error, pagelen = half, "requesting a smaller page");
                retries = 0;
                url = self.shrink(&url, half)?;
                continue;
            }
            if !is_first {
                return Err(error);
            }
            let is_anonymous = self.client.is_anonymous();
            let endpoint = self.query.endpoint;
            if let Some(reason) = Unavailable::from_refusal(endpoint, &refusal, is_anonymous) {
                return Ok(FetchedPage::Unavailable(reason));
            }
            if !self.query.simplify(&refusal) {
                return Err(error);
            }
            tracing::debug!(%error, "requesting the list with fewer parameters");
            url = self.url()?;
        }
    }

    /// Count a page, and set the cursor to the one after it.
    fn advance(&mut self, url: &Url, envelope: &PageEnvelope) -> Result<()> {
        let is_only_page = self.cursor.number == 1 && !self.cursor.is_resumed;
        self.cursor.number = self.cursor.number.saturating_add(1);
        self.size = envelope.size;
        let max_pages = self.client.limits().max_pages;
        self.guard.record_page(envelope, max_pages)?;
        self.cursor.next = match (self.query.endpoint.paging, &envelope.next) {
            (Paging::Linked, Some(next)) => {
                let (endpoint, masker) = (self.client.endpoint(), self.client.masker());
                Some(resolve_next(url, next, endpoint, masker)?)
            }
            (Paging::Linked, None) => {
                if is_only_page {
                    self.guard.check_only_page(envelope)?;
                }
                None
            }
            (Paging::Numbered, _) => {
                self.guard.check_content(envelope)?;
                let (pagelen, read) = (self.query.pagelen, self.guard.read);
                if self.cursor.is_last(envelope, pagelen, read) {
                    None
                } else {
                    Some(self.url()?)
                }
            }
        };
        Ok(())
    }

    /// Return the URL of the page at the cursor.
    fn url(&self) -> Result<Url> {
        let url = self.client.url(self.query.endpoint, &self.query.target)?;
        Ok(self.query.add_to(url, self.cursor.number))
    }

    /// Reduce the page size. Return the URL of the first of the smaller pages that contain the page at `url`. With
    /// numbered pages it may start a few records earlier.
    fn shrink(&mut self, url: &Url, pagelen: u16) -> Result<Url> {
        let before = number_in(url, "pagelen").unwrap_or(self.query.pagelen.into());
        let page = number_in(url, "page").map(|page| {
            let read = page.saturating_sub(1).saturating_mul(before);
            (read / u64::from(pagelen)).saturating_add(1)
        });
        self.query.pagelen = pagelen;
        self.cursor.number = page.unwrap_or(self.cursor.number);
        let is_first = self.guard.read == 0 && !self.cursor.is_resumed;
        if is_first || self.query.endpoint.paging == Paging::Numbered {
            return self.url();
        }
        Ok(with_page_size(url, pagelen, page))
    }

    /// Add the place of the list to an error.
    fn locate(&self, error: Error, url: &Url) -> Error {
        let request = EndpointRequest {
            endpoint: self.query.endpoint,
            target: &self.query.target,
            url: url.clone(),
            attempts: &self.requests,
            fallback: Fallback::None,
            retries_before_fallback: 0,
            form: &[],
        };
        self.client.locate(error, &request)
    }
}
