//! What makes the records of a synthetic workspace as varied as those of a real one.

use std::sync::LazyLock;

use super::records::mix;

/// How much the records of a synthetic workspace differ from one another. The default makes short and uniform records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variety {
    /// The accounts that work on one repository.
    pub team: usize,
    /// How many of them do not work on the repository before.
    pub newcomers: usize,
    /// The mean length of a pull request's description, in bytes; a comment is a quarter as long.
    pub text: usize,
    /// One of this many pull requests reverts an earlier one; 0: none does.
    pub reverts: usize,
}

impl Default for Variety {
    fn default() -> Self {
        Self {
            team: 12,
            newcomers: 0,
            text: 0,
            reverts: 0,
        }
    }
}

impl Variety {
    /// Return the number of accounts of a workspace.
    pub(super) fn people(&self, repositories: usize) -> usize {
        self.team + self.newcomers * repositories.saturating_sub(1)
    }

    /// Return the number of the account that has a place in a repository's team.
    pub(super) fn account(&self, repository: usize, place: usize) -> usize {
        place % self.team + self.newcomers * repository
    }

    /// Return the pull request that a pull request reverts, both by index.
    pub(super) fn reverted_by(&self, pull_request: usize) -> Option<usize> {
        let reverts = self.reverts > 0 && pull_request % self.reverts == self.reverts - 1;
        let back = 1 + mix(pull_request as u64) as usize % 8;
        pull_request.checked_sub(back).filter(|_| reverts)
    }

    /// Return a text of up to twice the mean length `mean`, the same for the same `seed`.
    pub(super) fn prose(mean: usize, seed: u64) -> String {
        let length = match mean {
            0 => return String::new(),
            mean => mix(seed) as usize % (2 * mean),
        };
        let mut text = String::with_capacity(length + 16);
        for n in 0.. {
            if text.len() >= length {
                break;
            }
            let word = mix(seed.wrapping_mul(31).wrapping_add(n));
            text.push_str(WORDS[word as usize % WORDS.len()]);
            text.push_str(match word >> 32 {
                separator if separator.is_multiple_of(40) => ".\n\n",
                separator if separator.is_multiple_of(9) => ", ",
                _ => " ",
            });
        }
        text
    }
}

static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| TEXT.split_whitespace().collect());

const TEXT: &str = "\
    the a of to in when because so that without after before cart checkout order invoice payment \
    customer search index cache batch worker retry timeout request reply header page filter column table \
    query report export import upload image layout button dialog form field validates renders loads \
    stores removes renames moves splits merges fixes slow empty missing duplicate wrong stale unused \
    early late twice again";
