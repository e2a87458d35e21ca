//! The sorted hashes of a history, 20 bytes each.
//!
//! A name that is not a full lower-case SHA-1, such as a SHA-256, an abbreviated hash or a test's `commit1`, is stored
//! as text. Both kinds share one sorted order.

use std::cmp::Ordering;
use std::hash::Hasher;
use std::ops::Deref;

use super::CommitNode;

pub(super) type Packed = [u8; 20];

/// Hashes a packed SHA-1 by multiplications whose halves are folded, as foldhash does. All bytes count, because a name
/// that only looks like a SHA-1 may be a number with leading zeros.
#[derive(Debug, Default)]
pub(super) struct PackedHasher(u64);

impl Hasher for PackedHasher {
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            let mixed = self.0 ^ u64::from_le_bytes(padded);
            let product = u128::from(mixed) * 0x9E37_79B9_7F4A_7C15;
            self.0 = product as u64 ^ (product >> 64) as u64;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The result of a search by abbreviated hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixMatch {
    /// No hash starts with the prefix.
    None,
    /// One hash starts with the prefix, or equals it.
    One(CommitNode),
    /// Several hashes start with the prefix.
    Ambiguous,
}

/// A hash, dereferenced as text.
pub enum CommitHash<'a> {
    /// The 40 digits of a SHA-1.
    Hex([u8; 40]),
    /// Any other name.
    Text(&'a str),
}

impl Deref for CommitHash<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Hex(digits) => std::str::from_utf8(digits).unwrap_or_default(),
            Self::Text(text) => text,
        }
    }
}

/// A name that is not a full lower-case SHA-1.
#[derive(Debug)]
struct UnpackedHash {
    node: CommitNode,
    text: Box<str>,
}

#[derive(Debug, Default)]
pub(super) struct HashIndex {
    packed: Vec<Packed>,
    others: Vec<UnpackedHash>,
}

/// Pack forty lower-case hexadecimal digits into twenty bytes.
pub(super) fn pack(hash: &str) -> Option<Packed> {
    let digits: &[u8; 40] = hash.as_bytes().try_into().ok()?;
    let mut packed = [0; 20];
    for (byte, pair) in packed.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(packed)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn unpack(packed: &Packed) -> CommitHash<'static> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 40];
    for (pair, byte) in text.chunks_exact_mut(2).zip(packed) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    CommitHash::Hex(text)
}

impl HashIndex {
    /// Sort distinct names. Also return the index of each, by the number that it was inserted with.
    pub(super) fn sort(
        packed: impl IntoIterator<Item = (Packed, u32)>,
        others: impl IntoIterator<Item = (Box<str>, u32)>,
    ) -> (Self, Vec<CommitNode>) {
        let mut packed: Vec<_> = packed.into_iter().collect();
        let mut others: Vec<_> = others.into_iter().collect();
        packed.sort_unstable();
        others.sort_unstable();
        let mut nodes = vec![0; packed.len() + others.len()];
        let mut names = Self::default();
        let mut short = others.into_iter().peekable();
        let mut node = 0;
        for (hash, number) in packed {
            while let Some((text, number)) = short.next_if(|(text, _)| **text < *unpack(&hash)) {
                nodes[number as usize] = node;
                names.others.push(UnpackedHash { node, text });
                node += 1;
            }
            nodes[number as usize] = node;
            names.packed.push(hash);
            node += 1;
        }
        for (text, number) in short {
            nodes[number as usize] = node;
            names.others.push(UnpackedHash { node, text });
            node += 1;
        }
        (names, nodes)
    }

    /// Append a name, which must be greater than all names before it, see [`is_sorted`](Self::is_sorted).
    pub(super) fn push(&mut self, name: &str) {
        match pack(name) {
            Some(packed) => self.packed.push(packed),
            None => self.others.push(UnpackedHash {
                node: self.len() as CommitNode,
                text: name.into(),
            }),
        }
    }

    /// Return whether every name is greater than the one before it.
    pub(super) fn is_sorted(&self) -> bool {
        let is_between = |(others, other): (usize, &UnpackedHash)| {
            let (before, after) = self.packed.split_at(other.node as usize - others);
            before.last().is_none_or(|it| *unpack(it) < *other.text)
                && after.first().is_none_or(|it| *unpack(it) > *other.text)
        };
        self.packed.is_sorted_by(|one, next| one < next)
            && self.others.is_sorted_by(|one, next| one.text < next.text)
            && self.others.iter().enumerate().all(is_between)
    }

    pub(super) fn name(&self, node: CommitNode) -> CommitHash<'_> {
        match self.others.binary_search_by_key(&node, |other| other.node) {
            Ok(at) => CommitHash::Text(&self.others[at].text),
            Err(before) => unpack(&self.packed[node as usize - before]),
        }
    }

    pub(super) fn find(&self, hash: &str) -> Option<CommitNode> {
        let Some(packed) = pack(hash) else {
            let by_text = |other: &UnpackedHash| (*other.text).cmp(hash);
            let at = self.others.binary_search_by(by_text).ok()?;
            return Some(self.others[at].node);
        };
        let at = self.packed.binary_search(&packed).ok()?;
        // The index counts the names of the other kind that are smaller.
        let smaller = self.others.partition_point(|other| (*other.text) < *hash);
        Some((at + smaller) as CommitNode)
    }

    pub(super) fn find_prefix(&self, prefix: &str) -> PrefixMatch {
        if prefix.is_empty() {
            return PrefixMatch::None;
        }
        let node = self.first_not_below(prefix);
        let begins =
            |node: CommitNode| (node as usize) < self.len() && self.name(node).starts_with(prefix);
        match (begins(node), begins(node + 1)) {
            (false, _) => PrefixMatch::None,
            (true, true) if *self.name(node) != *prefix => PrefixMatch::Ambiguous,
            (true, _) => PrefixMatch::One(node),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.packed.len() + self.others.len()
    }

    fn first_not_below(&self, text: &str) -> CommitNode {
        let (mut low, mut high) = (0, self.len() as CommitNode);
        while low < high {
            let middle = low + (high - low) / 2;
            match (*self.name(middle)).cmp(text) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal | Ordering::Greater => high = middle,
            }
        }
        low
    }
}
