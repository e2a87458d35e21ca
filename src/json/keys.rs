//! The keys that records have in common. Each is stored once for the process, so that it is compared, and known to be no secret,
//! by its entry.
//!
//! The table is filled by the records themselves. It is bounded: with a full table, further keys are compared by their text.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{LazyLock, OnceLock, PoisonError, RwLock, RwLockReadGuard};

/// The number of keys of the table. All records of Bitbucket together have a few hundred.
const MAX_KEYS: usize = 2048;
/// The longest key of the table, in bytes.
const MAX_LENGTH: usize = 64;

static TABLE: LazyLock<RwLock<CommonKeys>> = LazyLock::new(RwLock::default);

/// The table.
#[derive(Debug, Default)]
pub(crate) struct CommonKeys(
    HashMap<&'static str, &'static CommonKey, BuildHasherDefault<KeyHasher>>,
);

/// A key of the table.
#[derive(Debug)]
pub(crate) struct CommonKey {
    name: Box<str>,
    is_plain: OnceLock<bool>,
}

impl CommonKeys {
    pub(super) fn read() -> RwLockReadGuard<'static, Self> {
        TABLE.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'static CommonKey> {
        self.0.get(key).copied()
    }

    /// Add keys, as far as there is room.
    pub(super) fn add<'k>(keys: impl ExactSizeIterator<Item = &'k str>) {
        if keys.len() == 0 || Self::read().0.len() >= MAX_KEYS {
            return;
        }
        let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys.filter(|key| key.len() <= MAX_LENGTH) {
            if table.0.len() < MAX_KEYS && !table.0.contains_key(key) {
                let entry: &'static CommonKey = Box::leak(Box::new(CommonKey {
                    name: key.into(),
                    is_plain: OnceLock::new(),
                }));
                table.0.insert(entry.name(), entry);
            }
        }
    }
}

impl CommonKey {
    /// The entry of a key; adds it. `None` if there is no room.
    pub(crate) fn of(key: &str) -> Option<&'static Self> {
        CommonKeys::add(std::iter::once(key));
        CommonKeys::read().get(key)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the key neither is a secret nor says anything about its value. `judge` is asked once for each key.
    pub(crate) fn is_plain(&self, judge: impl FnOnce(&str) -> bool) -> bool {
        *self.is_plain.get_or_init(|| judge(&self.name))
    }
}

/// A fast hasher of short texts. Colliding keys cost time only, and not much in a bounded table.
#[derive(Default)]
struct KeyHasher(u64);

impl KeyHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (place, byte) in last.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.mix(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // The table takes the upper bits for one purpose and the lower ones for another.
        self.0 ^ self.0.rotate_left(32)
    }
}
