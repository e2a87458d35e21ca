//! Which failures are worth a retry, and when. Bitbucket fails for seconds now and then, and refuses requests for up to
//! an hour.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::StatusCode;

/// Timeouts, retries and maximum sizes of the client. The defaults suit Bitbucket; tests shorten them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time to establish a connection.
    pub connect_timeout: Duration,
    /// Time between two parts of a response.
    pub read_timeout: Duration,
    /// Time for one whole response.
    pub reply_timeout: Duration,
    /// Size of a response in bytes after decompression. A larger response is an error, because it is read into memory.
    pub max_reply_bytes: usize,
    /// Pages of a list whose size the server does not report.
    pub max_pages: u64,
    /// Retries after a failed connection or a transient status.
    pub retries: usize,
    /// Retries as long as no request has ever been answered, so that a wrong host name is reported soon.
    pub first_contact_retries: usize,
    /// The first delay of the exponential backoff.
    pub first_wait: Duration,
    /// The longest delay of the exponential backoff.
    pub longest_wait: Duration,
    /// Retries after a 429 without `Retry-After`. Their delays add up to more than the rolling hour.
    pub rate_limit_retries: usize,
    /// The first delay after a 429 without `Retry-After`.
    pub rate_limit_first_wait: Duration,
    /// The longest delay after a 429 without `Retry-After`.
    pub rate_limit_longest_wait: Duration,
    /// Time after which consecutive 429s with `Retry-After` are given up.
    pub rate_limit_longest_total_wait: Duration,
    /// A wait for the rate limit that would last beyond this time fails with [`ErrorKind::Quota`] instead.
    ///
    /// [`ErrorKind::Quota`]: crate::error::ErrorKind::Quota
    pub deadline: Option<Instant>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(90),
            reply_timeout: Duration::from_secs(300),
            max_reply_bytes: 64 << 20,
            max_pages: 50_000,
            retries: 6,
            first_contact_retries: 2,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            rate_limit_retries: 9,
            rate_limit_first_wait: Duration::from_secs(5),
            rate_limit_longest_wait: Duration::from_secs(900),
            rate_limit_longest_total_wait: Duration::from_secs(3600),
            deadline: None,
        }
    }
}

impl Limits {
    /// Return the delays of an exponential backoff with jitter, one per retry.
    pub(crate) fn backoff(&self, retries: usize) -> impl Iterator<Item = Duration> + Send + use<> {
        ExponentialBuilder::default()
            .with_factor(2.0)
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .with_max_times(retries)
            .with_jitter()
            // backon's default seed is the same in every process.
            .with_jitter_seed(getrandom::u64().unwrap_or_default())
            .build()
    }
}

/// Bitbucket's own status for a diff that takes too long to compute.
pub(crate) const DIFF_TIMEOUT: u16 = 555;

/// Whether a retry of the same request can succeed. 429 is not transient: the rate limiter handles it for all requests.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 500 | 502 | 503 | 504)
}

/// Whether the server failed to produce the response in time, so that a request for less can succeed.
pub(crate) fn is_overload(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_with_jitter_and_is_finite() {
        let limits = Limits {
            first_wait: Duration::from_secs(1),
            ..Limits::default()
        };
        let delays: Vec<_> = limits.backoff(4).collect();
        assert_eq!(delays.len(), 4);
        for (n, delay) in delays.iter().enumerate() {
            let floor = Duration::from_secs(1 << n);
            assert!(*delay >= floor && *delay < 2 * floor, "{delays:?}");
        }
        assert_ne!(delays, limits.backoff(4).collect::<Vec<_>>());
    }
}
