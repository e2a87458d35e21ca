//! Recognises a read that brings the same records as the last one.
//!
//! A list is read from a little before its watermark on, and short lists are read whole, so most reads bring records that are
//! collected already. Where nothing changed since the last read, no segment is written and nothing has to be folded.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::entity::prefix;
use crate::digest::hex;
use crate::lake::Replaces;
use crate::schema::SourceRecord;

/// More records than this are not compared.
const MOST_RECORDS: u64 = 1024;

/// A digest of the records of one read.
#[derive(Default)]
pub(super) struct ReadDigest {
    records: Sha256,
    count: u64,
    /// The keys of the first page's records, while it is read.
    keys: BTreeSet<String>,
    first_page: Option<FirstPage>,
    /// A later page has a record of the first page again, which may have changed in between.
    repeats_first_page: bool,
}

/// The first page with records.
struct FirstPage {
    records: Sha256,
    keys: BTreeSet<String>,
}

impl ReadDigest {
    /// Add a record that is kept.
    pub(super) fn add(&mut self, record: &SourceRecord) {
        let parent = prefix(&record.parent);
        self.add_texts(&parent, &record.key, record.payload.payload());
    }

    fn add_texts(&mut self, parent: &str, key: &str, payload: &str) {
        self.count += 1;
        if let Some(first) = &self.first_page {
            self.repeats_first_page |= first.keys.contains(key);
        }
        if self.count > MOST_RECORDS {
            return;
        }
        if self.first_page.is_none() {
            self.keys.insert(key.to_owned());
        }
        for part in [parent, key, payload] {
            self.records.update((part.len() as u64).to_le_bytes());
            self.records.update(part);
        }
    }

    /// End a page.
    pub(super) fn end_page(&mut self) {
        if self.first_page.is_none() && (1..=MOST_RECORDS).contains(&self.count) {
            self.first_page = Some(FirstPage {
                records: self.records.clone(),
                keys: std::mem::take(&mut self.keys),
            });
        }
    }

    /// Return the digest of all records; `None` for a read that is not compared.
    pub(super) fn whole(&self, replaces: &Replaces) -> Option<String> {
        (self.count <= MOST_RECORDS)
            .then(|| finish(&self.records, replaces))
            .flatten()
    }

    /// Return the digest by which the next read is to be recognised: of the whole list where it is read whole. Other lists are
    /// read from the first page on, and usually no further.
    pub(super) fn next(&self, replaces: &Replaces) -> Option<String> {
        match (replaces, &self.first_page) {
            (Replaces::Nothing, Some(first)) if !self.repeats_first_page => {
                finish(&first.records, replaces)
            }
            (Replaces::Everything, _) => self.whole(replaces),
            _ => None,
        }
    }
}

fn finish(records: &Sha256, replaces: &Replaces) -> Option<String> {
    let kind = match replaces {
        Replaces::Nothing => "page",
        Replaces::Everything => "list",
        Replaces::Parents(_) => return None,
    };
    let digest = hex(&records.clone().finalize());
    Some(format!("{kind}:{digest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Return the digest of pages of keys; the payload of `a*` is another one than that of `a`.
    fn read(pages: &[&[&str]]) -> ReadDigest {
        let mut digest = ReadDigest::default();
        for page in pages {
            for record in *page {
                digest.add_texts("", record.trim_end_matches('*'), record);
            }
            digest.end_page();
        }
        digest
    }

    #[test]
    fn a_read_of_the_first_page_alone_is_recognised_after_one_of_all_pages() {
        let kind = Replaces::Nothing;
        let expected = read(&[&["a", "b"], &["c"]]).next(&kind);
        assert!(expected.is_some());
        assert_eq!(read(&[&["a", "b"]]).whole(&kind), expected);
        assert_eq!(read(&[&["a", "b"], &[]]).whole(&kind), expected);
        for other in [&["a"][..], &["a", "b*"], &["b", "a"], &["a", "b", "c"]] {
            assert_ne!(read(&[other]).whole(&kind), expected, "{other:?}");
        }
    }

    #[test]
    fn a_list_that_is_read_whole_is_recognised_by_all_its_records() {
        let kind = Replaces::Everything;
        let expected = read(&[&["a", "b"], &["c"]]).next(&kind);
        assert_eq!(read(&[&["a"], &["b", "c"]]).whole(&kind), expected);
        assert_ne!(read(&[&["a", "b"]]).whole(&kind), expected);
        let added = read(&[&["a", "b", "c"]]).whole(&Replaces::Nothing);
        assert_ne!(added, expected, "replaced and added records differ");
    }

    #[test]
    fn a_first_page_with_a_record_that_a_later_page_has_again_is_not_recognised() {
        let again = read(&[&["a", "b"], &["b*", "c"]]);
        assert_eq!(again.next(&Replaces::Nothing), None);
    }

    #[test]
    fn lists_of_single_parents_and_long_lists_are_not_compared() {
        let short = read(&[&["a"]]);
        let parents = Replaces::Parents(vec![1]);
        assert_eq!((short.whole(&parents), short.next(&parents)), (None, None));
        let long = read(&[&vec!["a"; MOST_RECORDS as usize + 1]]);
        assert_eq!(long.whole(&Replaces::Everything), None);
        assert_eq!(long.next(&Replaces::Everything), None);
    }
}
