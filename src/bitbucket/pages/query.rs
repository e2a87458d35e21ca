//! What a list is requested with: the optional parameters of its endpoint, and which of them are given up after a
//! refusal.

use reqwest::{StatusCode, Url};

use crate::bitbucket::endpoints::{Endpoint, Paging};
use crate::bitbucket::refusal::Refusal;
use crate::bitbucket::request::{ApiTarget, Fallback};
use crate::bitbucket::retry::is_overload;
use crate::bitbucket::server_messages::ServerMessage;

/// The most commits of a range that are sent in the URL; each takes about 50 characters.
const MAX_COMMITS_IN_URL: usize = 100;
/// The smallest page that is requested after a refusal of a larger one.
pub(super) const MIN_PAGE: u16 = 10;

/// The parameters of a list.
pub(super) struct PageQuery {
    pub(super) endpoint: &'static Endpoint,
    pub(super) target: ApiTarget,
    /// `q`.
    pub(super) filter: Option<String>,
    /// A parameter that only this endpoint has.
    pub(super) parameter: Option<(&'static str, &'static str)>,
    pub(super) sort: Option<&'static str>,
    pub(super) fields: Option<&'static str>,
    pub(super) pagelen: u16,
    /// `include` and `exclude` of a range of commits.
    pub(super) range: Vec<(&'static str, String)>,
}

impl PageQuery {
    pub(super) fn new(endpoint: &'static Endpoint, target: ApiTarget) -> Self {
        Self {
            endpoint,
            target,
            filter: None,
            parameter: None,
            sort: endpoint.sort,
            fields: endpoint.fields,
            pagelen: endpoint.pagelen,
            range: Vec::new(),
        }
    }

    /// Add the parameters to the URL of the endpoint. `page`: the number of the page, where the endpoint counts pages.
    pub(super) fn add_to(&self, mut url: Url, page: u64) -> Url {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("pagelen", &self.pagelen.to_string());
        if self.endpoint.paging == Paging::Numbered {
            pairs.append_pair("page", &page.to_string());
        }
        pairs.extend_pairs(self.endpoint.params);
        pairs.extend_pairs(self.parameter);
        for (name, value) in [
            ("q", self.filter.as_deref()),
            ("sort", self.sort),
            ("fields", self.fields),
        ] {
            if let Some(value) = value {
                pairs.append_pair(name, value);
            }
        }
        if !self.has_form() {
            pairs.extend_pairs(&self.range);
        }
        drop(pairs);
        url
    }

    /// Whether the range of commits does not fit into the URL and is sent as a form.
    pub(super) fn has_form(&self) -> bool {
        self.range.len() > MAX_COMMITS_IN_URL
    }

    /// Return what can be requested instead when the server is overloaded.
    pub(super) fn fallback(&self, is_first: bool) -> Fallback {
        match (self.half_page(), self.sort) {
            (Some(_), _) => Fallback::SmallerPage,
            (None, Some(_)) if is_first => Fallback::Unsorted,
            _ => Fallback::None,
        }
    }

    /// Return half of the page size, for lists whose records embed other records, which are expensive for the server.
    pub(super) fn half_page(&self) -> Option<u16> {
        let embeds = self.fields.is_some_and(|fields| fields.contains('+'));
        let half = self.pagelen / 2;
        (embeds && half >= MIN_PAGE).then_some(half)
    }

    /// Give up the parameter that a refusal of the first page can be about. Return whether there was one.
    pub(super) fn simplify(&mut self, refusal: &Refusal) -> bool {
        if is_overload(refusal.status) {
            // A sort over several states always fails for large repositories.
            self.pagelen = self.endpoint.pagelen;
            return self.sort.take().is_some();
        }
        if refusal.status != StatusCode::BAD_REQUEST {
            return false;
        }
        match refusal.meaning {
            ServerMessage::RejectedPageLength if self.pagelen > MIN_PAGE => {
                self.pagelen = (self.pagelen / 2).max(MIN_PAGE);
                true
            }
            ServerMessage::RejectedFields => {
                self.fields.take().is_some() || self.sort.take().is_some()
            }
            ServerMessage::RejectedFilter if self.filter.take().is_some() => true,
            ServerMessage::RejectedSort if self.sort.take().is_some() => true,
            _ => {
                self.parameter.take().is_some()
                    || self.sort.take().is_some()
                    || self.fields.take().is_some()
                    || self.filter.take().is_some()
            }
        }
    }
}

/// Return a `next` URL for pages of another size. `page`: the number of the page, where the URL has one.
pub(super) fn with_page_size(url: &Url, pagelen: u16, page: Option<u64>) -> Url {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let pairs = pairs
        .into_iter()
        .map(|(key, value)| match (key.as_str(), page) {
            ("pagelen", _) => (key, pagelen.to_string()),
            ("page", Some(page)) => (key, page.to_string()),
            _ => (key, value),
        });
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}

/// Return the value of a numeric parameter.
pub(super) fn number_in(url: &Url, name: &str) -> Option<u64> {
    let mut pairs = url.query_pairs();
    pairs.find(|(key, _)| key == name)?.1.parse().ok()
}
