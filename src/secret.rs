//! A secret that cannot be printed, because a token that reaches a log line once has to be revoked everywhere.
//!
//! ```compile_fail
//! let token = bitlake::secret::Secret::new("s3cr3t".to_owned());
//! println!("{token}"); // no Display: does not compile
//! ```

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A credential. Zeroed on drop, absent from `Debug`, without `Display` or `Serialize`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(value: String) -> Self {
        Self(SecretString::from(value))
    }

    /// The plain text, for building an `Authorization` header and nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_secret() {
        let shown = format!("{:?}", Secret::new("s3cr3t".to_owned()));
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}
