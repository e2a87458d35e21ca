//! Checks that a list arrives completely: half a list that is taken for a whole one would be worse than an error.

use std::collections::HashSet;

use reqwest::Url;

use super::envelope::PageEnvelope;
use super::query::MIN_PAGE;
use crate::error::{Error, ErrorKind, Result};

/// A list may grow to this multiple of its size and [`EXTRA_PAGES`] more while it is read; a longer list has no end.
const GROWTH: u64 = 2;
const EXTRA_PAGES: u64 = 20;

/// What was received of a list.
#[derive(Default)]
pub(super) struct ListGuard {
    /// Records received.
    pub(super) read: u64,
    pages: u64,
    /// The most pages that a list of this size can have, known after the first page.
    max_pages: Option<u64>,
    requested: HashSet<String>,
    /// The first and the last record of the last page.
    last_ends: Option<(String, String)>,
}

impl ListGuard {
    /// Record that a page is requested.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] for a page that was requested before.
    pub(super) fn record_request(&mut self, url: &Url) -> Result<()> {
        if self.requested.insert(url.as_str().to_owned()) {
            return Ok(());
        }
        Err(repeated())
    }

    /// Record a page. `max_pages` applies to a list without a size.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] for a list that has more pages than its size allows.
    pub(super) fn record_page(&mut self, page: &PageEnvelope, max_pages: u64) -> Result<()> {
        self.read += page.len();
        self.pages += 1;
        let of_size = |size: u64| {
            let pages = (size / u64::from(MIN_PAGE)).saturating_mul(GROWTH);
            pages.saturating_add(EXTRA_PAGES)
        };
        let max_pages = *self
            .max_pages
            .get_or_insert(page.size.map_or(max_pages, of_size));
        if self.pages > max_pages {
            return Err(error("the list does not end").with("pages", self.pages));
        }
        Ok(())
    }

    /// Check the content of a numbered page.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] for the content of the page before.
    pub(super) fn check_content(&mut self, page: &PageEnvelope) -> Result<()> {
        let ends = page.values.first().zip(page.values.last());
        let ends = ends.map(|(first, last)| (first.get().to_owned(), last.get().to_owned()));
        if ends.is_some() && ends == self.last_ends {
            return Err(repeated());
        }
        self.last_ends = ends;
        Ok(())
    }

    /// Check a first page without `next`, which is lost silently when `fields` does not contain it.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] for a full page of a longer list.
    pub(super) fn check_only_page(&self, page: &PageEnvelope) -> Result<()> {
        let is_full = Some(page.len()) == page.pagelen;
        match page.size {
            Some(size) if is_full && self.read < size => Err(error("the list ends early")
                .with("read", self.read)
                .with("size", size)),
            _ => Ok(()),
        }
    }
}

fn repeated() -> Error {
    error("the list repeats a page it has already given")
}

pub(super) fn error(message: &str) -> Error {
    Error::new(ErrorKind::Api, message)
}
