//! SHA-256 digests as lower-case hexadecimal text, as the manifest and record keys spell them.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Spell bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_lower_case_hexadecimal() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
        assert!(sha256_hex("abc").starts_with("ba7816bf8f01cfea"));
    }
}
