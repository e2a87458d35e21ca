//! What is worth asking again, and when. Bitbucket fails now and then for seconds, and refuses for up to an hour.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Time-outs and waits. The defaults suit Bitbucket; tests shorten them.
#[derive(Debug, Clone)]
pub struct Limits {
    pub connect_timeout: Duration,
    /// The longest silence inside one reply.
    pub read_timeout: Duration,
    /// The longest that one reply may take.
    pub reply_timeout: Duration,
    /// Bytes of one reply, unpacked; what is larger is an error, because it has to fit into memory.
    pub max_reply_bytes: usize,
    /// Pages of a list that does not say how long it is.
    pub max_pages: u64,
    /// Repetitions after a failed connection or a 5xx.
    pub retries: usize,
    /// Repetitions while no request has ever succeeded: a wrong host name should not take a minute to be noticed.
    pub first_contact_retries: usize,
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// Repetitions after a 429 that names no wait; together their waits outlast the rolling hour.
    pub rate_limit_retries: usize,
    pub rate_limit_first_wait: Duration,
    pub rate_limit_longest_wait: Duration,
    /// How long refusals that name their own wait are waited for, in a row.
    pub rate_limit_longest_total_wait: Duration,
    /// A wait for the budget that would end later than this is not begun: [`ErrorKind::Quota`].
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
    pub(crate) fn backoff(&self, retries: usize) -> impl Iterator<Item = Duration> + Send + use<> {
        ExponentialBuilder::default()
            .with_factor(2.0)
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .with_max_times(retries)
            .with_jitter()
            // Without a seed of its own every process would jitter alike, which is no jitter.
            .with_jitter_seed(getrandom::u64().unwrap_or_default())
            .build()
    }
}

/// A status that may be different in a moment. 429 is not here: it is waited for by all requests together.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 500 | 502 | 503 | 504)
}

/// A server that could not do in its time what was asked: it may be able to do less.
pub(crate) fn is_overload(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 504)
}

/// Bitbucket's own word for a diff that took too long.
pub(crate) const TOO_LONG: u16 = 555;

/// What the headers of a reply say about the budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RateLimitHeaders {
    /// Requests an hour.
    pub(crate) limit: Option<u32>,
    pub(crate) remaining: Option<u32>,
    /// From now on.
    pub(crate) reset: Option<TimeDelta>,
    /// Less than a fifth of the limit is left.
    pub(crate) near_limit: Option<bool>,
    /// The wait that is asked for, as `Retry-After`.
    pub(crate) wait: Option<TimeDelta>,
}

impl RateLimitHeaders {
    /// `now`: for headers that name a date; the reply's own `Date` goes before, because whose clock is wrong cannot be
    /// told.
    pub(crate) fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name| text(name).and_then(number_of);
        // Casts of floats saturate.
        let count = |name| number(name).map(|count| count as u32);
        let date = |value: &str| Some(DateTime::parse_from_rfc2822(value).ok()?.to_utc());
        let now = text(DATE.as_str()).and_then(date).unwrap_or(now);
        // Seen both as seconds to wait and as a Unix time.
        let reset = number("x-ratelimit-reset").map(|reset| reset as i64);
        let reset = reset.and_then(|reset| match reset {
            delta if delta < 1_000_000 => Some(TimeDelta::seconds(delta)),
            epoch => Some(DateTime::from_timestamp(epoch, 0)? - now),
        });
        let after = text(RETRY_AFTER.as_str()).and_then(|value| match number_of(value) {
            Some(seconds) => Some(TimeDelta::seconds((seconds.ceil() as u32).into())),
            None => Some(date(value)? - now),
        });
        Self {
            // None at all is no limit that anybody could keep.
            limit: count("x-ratelimit-limit").filter(|limit| *limit > 0),
            remaining: count("x-ratelimit-remaining"),
            reset,
            near_limit: text("x-ratelimit-nearlimit")
                .and_then(|text| text.to_lowercase().parse().ok()),
            wait: after.map(|wait| wait.max(TimeDelta::zero())),
        }
    }
}

/// A header's number, which may be beyond all bounds; `None` for what is negative or no number.
fn number_of(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn said(headers: &[(&'static str, &str)]) -> RateLimitHeaders {
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        RateLimitHeaders::read(&headers.collect(), now)
    }

    fn wait(value: &str) -> Option<i64> {
        let said = said(&[("retry-after", value)]);
        said.wait.map(|wait| wait.num_seconds())
    }

    fn reset(value: &str) -> Option<i64> {
        let said = said(&[("x-ratelimit-reset", value)]);
        // It comes with every answer, and asks nobody to wait.
        assert_eq!(said.wait, None);
        said.reset.map(|reset| reset.num_seconds())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait("17"), Some(17));
        assert_eq!(wait("Mon, 23 Nov 2026 10:01:00 GMT"), Some(60));
        assert_eq!(wait("Mon, 23 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("0.2"), Some(1));
        assert_eq!(wait("-5"), None);
        assert_eq!(wait("NaN"), None);
    }

    #[test]
    fn ratelimit_reset_is_a_delta_or_an_epoch() {
        assert_eq!(reset("120"), Some(120));
        assert_eq!(reset("1795428090"), Some(90));
        assert_eq!(reset("-5"), None);
    }

    #[test]
    fn a_servers_dates_are_read_by_its_own_clock() {
        let said = said(&[
            ("date", "Thu, 23 Nov 2023 10:00:00 GMT"),
            ("retry-after", "Thu, 23 Nov 2023 10:00:30 GMT"),
        ]);
        assert_eq!(said.wait, Some(TimeDelta::seconds(30)));
    }

    #[test]
    fn limit_remaining_and_near_limit_are_read() {
        let said = said(&[
            ("x-ratelimit-limit", "1000"),
            ("x-ratelimit-remaining", "12"),
            ("x-ratelimit-nearlimit", "True"),
        ]);
        assert_eq!((said.limit, said.remaining), (Some(1000), Some(12)));
        assert_eq!((said.near_limit, said.wait), (Some(true), None));
    }
    #[test]
    fn numbers_beyond_all_bounds_are_cut() {
        for huge in ["99999999999", "1e300", "inf"] {
            assert_eq!(wait(huge), Some(u32::MAX.into()), "{huge}");
        }
        assert!(wait("Fri, 31 Dec 9999 23:59:59 GMT").is_some());
        let huge = said(&[
            ("x-ratelimit-limit", "99999999999"),
            ("x-ratelimit-remaining", "99999999999"),
        ]);
        let most = Some(u32::MAX);
        assert_eq!((huge.limit, huge.remaining), (most, most));
        assert_eq!(said(&[("x-ratelimit-limit", "0")]).limit, None);
        assert_eq!(said(&[("x-ratelimit-limit", "-1")]).limit, None);
        for reset in ["9223372036854775807", "9999999999999", "1000000"] {
            said(&[("x-ratelimit-reset", reset)]);
        }
    }

    #[test]
    fn waits_grow_jitter_and_end() {
        let limits = Limits {
            first_wait: Duration::from_secs(1),
            ..Limits::default()
        };
        let waits: Vec<_> = limits.backoff(4).collect();
        assert_eq!(waits.len(), 4);
        for (n, wait) in waits.iter().enumerate() {
            let floor = Duration::from_secs(1 << n);
            assert!(*wait >= floor && *wait < 2 * floor, "{waits:?}");
        }
        assert_ne!(waits, limits.backoff(4).collect::<Vec<_>>());
    }
}
