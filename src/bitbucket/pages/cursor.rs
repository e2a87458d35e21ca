//! The position inside a list: the next page.

use reqwest::Url;

use super::envelope::PageEnvelope;
use super::guard::error;
use crate::bitbucket::urls::{is_same_origin, safe_url};
use crate::error::Result;
use crate::secret::Masker;

/// The position inside a list.
pub(super) struct PageCursor {
    /// The URL of the next page; `None` before the first page and after the last one.
    pub(super) next: Option<Url>,
    /// The number of the next page, counted from 1.
    pub(super) number: u64,
    /// Whether a page was requested, or the cursor of an earlier list was resumed.
    pub(super) is_started: bool,
    /// Whether the list continues at the cursor of an earlier list.
    pub(super) is_resumed: bool,
}

impl PageCursor {
    pub(super) fn new() -> Self {
        Self {
            next: None,
            number: 1,
            is_started: false,
            is_resumed: false,
        }
    }

    /// Whether a numbered page is the last one. It is called after the page is counted. `requested`: the page size of the
    /// request; `read`: records of the list so far.
    pub(super) fn is_last(&self, page: &PageEnvelope, requested: u16, read: u64) -> bool {
        // The server may use a smaller page than requested; then a short page is not the last one.
        let requested = u64::from(requested);
        let pagelen = page.pagelen.filter(|used| *used > 0);
        let pagelen = pagelen.unwrap_or(requested).min(requested);
        let covered = self.number.saturating_sub(1).saturating_mul(pagelen);
        // A size below the number of received records is wrong; the list continues as long as its pages are full.
        match page.size.filter(|size| *size >= read) {
            Some(size) => page.values.is_empty() || covered >= size,
            None => page.len() < pagelen,
        }
    }
}

/// Resolve the `next` of the page at `url`. `endpoint`: the base URL of the API.
///
/// # Errors
/// [`ErrorKind::Api`](crate::error::ErrorKind::Api) for a `next` that is not a URL, points to another origin, or contains
/// the credentials.
pub(super) fn resolve_next(url: &Url, next: &str, endpoint: &Url, masker: &Masker) -> Result<Url> {
    let next = url
        .join(next)
        .map_err(|source| error("the next page is not a URL").source(source))?;
    if !is_same_origin(&next, endpoint) {
        return Err(error("the next page is on another host")
            .with("next", masker.mask(&safe_url(&next)))
            .hint("check endpoint and proxy: credentials are not sent to other hosts"));
    }
    // The URL is persisted in the state of the repository when the list is interrupted.
    if masker.is_in(next.as_str()) {
        return Err(error("the next page's address repeats the credentials")
            .hint("check endpoint and proxy"));
    }
    Ok(next)
}
