//! Reports credentials that expire soon.
//!
//! The API does not tell when a token expires, so the key `expires` does. Every run warns before the date, so that a
//! token can be renewed before a scheduled run fails.

use std::fmt;

use chrono::NaiveDate;
use serde::Serialize;

use super::load::Config;
use crate::clock;

/// For how many days before the expiry a credential is reported.
const NOTICE_DAYS: i64 = 30;

/// A credential that expires within thirty days, or has expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialExpiry {
    /// The name of the connection.
    pub connection: String,
    /// Where the credential is read from: `environment variable BITBUCKET_TOKEN` or `file /run/secrets/bitbucket`.
    pub origin: String,
    /// The last day on which the credential is valid.
    pub expires: NaiveDate,
    /// The number of days until `expires`; negative after that day.
    pub days_left: i64,
}

impl Config {
    /// Return the credentials that expire within thirty days of today (UTC), in the order of the file.
    pub fn expiring(&self) -> Vec<CredentialExpiry> {
        self.expiring_on(clock::now().date_naive())
    }

    fn expiring_on(&self, today: NaiveDate) -> Vec<CredentialExpiry> {
        let mut expiring = Vec::new();
        for connection in &self.connections {
            for source in connection.auth.secrets() {
                let Some(expires) = source.expires() else {
                    continue;
                };
                let days_left = (expires - today).num_days();
                if days_left <= NOTICE_DAYS {
                    expiring.push(CredentialExpiry {
                        connection: connection.name.clone(),
                        origin: source.origin(),
                        expires,
                        days_left,
                    });
                }
            }
        }
        expiring
    }
}

impl CredentialExpiry {
    /// Return whether the credential has expired.
    pub fn is_expired(&self) -> bool {
        self.days_left < 0
    }
}

impl fmt::Display for CredentialExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connection,
            origin,
            expires,
            days_left,
        } = self;
        write!(f, "the credential of connection {connection} ({origin}) ")?;
        match days_left {
            i64::MIN..0 => write!(f, "expired on {expires}"),
            0 => write!(f, "expires today, {expires}"),
            1 => write!(f, "expires tomorrow, {expires}"),
            days => write!(f, "expires in {days} days, on {expires}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_token_is_reported_thirty_days_before_its_own_expiry_or_that_of_its_connection() {
        let text = "[lake]\nurl = \"out\"\n[[connection]]\nid = 1\nname = \"acme\"\nauth = \"access-token\"\n\
                    expires = 2027-01-31\ntoken = [{ env = \"A\" }, { file = \"/b\", expires = \"2027-04-01\" }]\n";
        let config = Config::parse(text, "bitlake.toml".as_ref(), &BTreeMap::new(), &[]).unwrap();
        let on = |today: &str| {
            let expiring = config.expiring_on(today.parse().unwrap());
            let lines: Vec<_> = expiring.iter().map(ToString::to_string).collect();
            lines.join("\n")
        };
        assert_eq!(on("2026-12-31"), "");
        assert_eq!(
            on("2027-01-01"),
            "the credential of connection acme (environment variable A) expires in 30 days, on 2027-01-31"
        );
        assert!(on("2027-01-31").ends_with("expires today, 2027-01-31"));
        assert_eq!(
            on("2027-03-31"),
            "the credential of connection acme (environment variable A) expired on 2027-01-31\n\
             the credential of connection acme (file /b) expires tomorrow, 2027-04-01"
        );
    }
}
