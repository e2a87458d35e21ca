//! The part of the repositories that one of several machines collects.

/// One of several machines that collect into one lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// The number of this machine, from 1.
    pub number: u32,
    /// The number of machines.
    pub of: u32,
}

impl Shard {
    /// Whether this machine collects the repository or workspace. The answer depends on the uuid alone, so the machines
    /// need no communication.
    pub(super) fn contains(self, uuid: &str) -> bool {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in uuid.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash % u64::from(self.of.max(1)) == u64::from(self.number.saturating_sub(1))
    }
}

/// Whether a machine collects the repository or workspace; always without shards.
pub(super) fn is_in_shard(shard: Option<Shard>, uuid: &str) -> bool {
    shard.is_none_or(|shard| shard.contains(uuid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_uuid_is_in_exactly_one_shard() {
        for n in 0..50 {
            let uuid = format!("{{repository-{n}}}");
            let shards = (1..=3).map(|number| Shard { number, of: 3 });
            assert_eq!(shards.filter(|shard| shard.contains(&uuid)).count(), 1);
            assert!(is_in_shard(None, &uuid));
        }
    }
}
