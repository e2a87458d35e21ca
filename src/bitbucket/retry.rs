//! What is worth asking again, and when. Bitbucket fails now and then for seconds, and refuses for up to an hour.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Time-outs and waits. The defaults suit Bitbucket; tests shorten them.
#[derive(Debug, Clone)]
pub struct Limits {
    pub connect_timeout: Duration,
    /// The longest silence inside one reply.
    pub read_timeout: Duration,
    /// Repetitions after a failed connection or a 5xx.
    pub tries: usize,
    /// Repetitions while no request has ever succeeded: a wrong host name should not take a minute to be noticed.
    pub first_contact_tries: usize,
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// Repetitions after a 429; together their waits outlast the rolling hour.
    pub refused_tries: usize,
    pub refused_first_wait: Duration,
    pub refused_longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(90),
            tries: 6,
            first_contact_tries: 2,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            refused_tries: 9,
            refused_first_wait: Duration::from_secs(5),
            refused_longest_wait: Duration::from_secs(900),
        }
    }
}

impl Limits {
    pub(crate) fn waits(&self, tries: usize) -> impl Iterator<Item = Duration> + Send + use<> {
        growing(2.0, self.first_wait, self.longest_wait, tries)
    }

    pub(crate) fn refused_waits(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        growing(
            3.0,
            self.refused_first_wait,
            self.refused_longest_wait,
            self.refused_tries,
        )
    }
}

fn growing(
    factor: f32,
    first: Duration,
    longest: Duration,
    tries: usize,
) -> impl Iterator<Item = Duration> + Send + use<> {
    ExponentialBuilder::default()
        .with_factor(factor)
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_max_times(tries)
        .with_jitter()
        // Without a seed of its own every process would jitter alike, which is no jitter.
        .with_jitter_seed(getrandom::u64().unwrap_or_default())
        .build()
}

/// A status that may be different in a moment. 429 is not here: it is waited for by all requests together.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 500 | 502 | 503 | 504)
}

/// How long the server asks to wait: `Retry-After` in seconds or as a date, else `x-ratelimit-reset`, which was seen
/// both as seconds to wait and as a Unix time.
pub(crate) fn asked_wait(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let until = |at: DateTime<Utc>| (at - now).to_std().unwrap_or_default();
    if let Some(value) = text(RETRY_AFTER.as_str()) {
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        if let Ok(date) = DateTime::parse_from_rfc2822(value) {
            return Some(until(date.to_utc()));
        }
    }
    let reset: i64 = text("x-ratelimit-reset")?.parse().ok()?;
    match u64::try_from(reset).ok()? {
        delta if delta < 1_000_000 => Some(Duration::from_secs(delta)),
        _ => DateTime::from_timestamp(reset, 0).map(until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn wait(name: &'static str, value: &str) -> Option<u64> {
        let now = DateTime::parse_from_rfc3339("2026-11-23T10:00:00Z")
            .unwrap()
            .to_utc();
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )]);
        asked_wait(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait("retry-after", "17"), Some(17));
        assert_eq!(
            wait("retry-after", "Mon, 23 Nov 2026 10:01:00 GMT"),
            Some(60)
        );
        assert_eq!(
            wait("retry-after", "Mon, 23 Nov 2026 09:00:00 GMT"),
            Some(0)
        );
        assert_eq!(wait("retry-after", "soon"), None);
    }

    #[test]
    fn ratelimit_reset_is_a_delta_or_an_epoch() {
        assert_eq!(wait("x-ratelimit-reset", "120"), Some(120));
        assert_eq!(wait("x-ratelimit-reset", "1795428090"), Some(90));
        assert_eq!(wait("x-ratelimit-reset", "-5"), None);
    }

    #[test]
    fn waits_grow_jitter_and_end() {
        let limits = Limits {
            first_wait: Duration::from_secs(1),
            ..Limits::default()
        };
        let waits: Vec<_> = limits.waits(4).collect();
        assert_eq!(waits.len(), 4);
        for (n, wait) in waits.iter().enumerate() {
            let floor = Duration::from_secs(1 << n);
            assert!(*wait >= floor && *wait < 2 * floor, "{waits:?}");
        }
        assert_ne!(waits, limits.waits(4).collect::<Vec<_>>());
    }
}
