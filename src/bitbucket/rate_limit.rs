//! The rate limit in Bitbucket's terms: the window it counts, the headers that describe it, and why a request is
//! blocked.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Bitbucket counts the requests of a rolling hour.
pub(super) const WINDOW: TimeDelta = TimeDelta::hours(1);

/// A request that was sent and has no response yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentRequest {
    pub(super) at: DateTime<Utc>,
    /// The request probes whether Bitbucket accepts requests again; all others are blocked until it is answered.
    pub(super) is_probe: bool,
}

/// Why no request may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Until(DateTime<Utc>),
    /// Until a request in flight is answered.
    ForResponse,
    /// The circuit breaker has given up: Bitbucket refused requests for more than an hour.
    Forever,
}

impl Wait {
    /// Return the wait that is over first.
    pub(super) fn earlier(self, other: Self) -> Self {
        match (self, other) {
            (Self::Until(one), Self::Until(other)) => Self::Until(one.min(other)),
            (Self::Until(at), _) | (_, Self::Until(at)) => Self::Until(at),
            (Self::ForResponse, _) | (_, Self::ForResponse) => Self::ForResponse,
            (Self::Forever, Self::Forever) => Self::Forever,
        }
    }
}

/// The rate limit as the headers of a response describe it.
///
/// `X-RateLimit-*` and `Retry-After` are optional. Bitbucket documents `X-RateLimit-Limit` and `X-RateLimit-NearLimit`
/// for tokens with scaled limits only; `X-RateLimit-Remaining` and `X-RateLimit-Reset` are undocumented and
/// were seen by other clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RateLimitHeaders {
    /// Requests per hour; a limit of zero is ignored.
    pub(crate) limit: Option<u32>,
    /// Requests left in the window.
    pub(crate) remaining: Option<u32>,
    /// Time until the window is reset.
    pub(crate) reset: Option<TimeDelta>,
    /// Whether less than a fifth of the limit is left.
    pub(crate) near_limit: Option<bool>,
    /// The delay that the server requests before the next request.
    pub(crate) retry_after: Option<TimeDelta>,
}

impl RateLimitHeaders {
    /// Read the headers of a response that arrived at `now`. Absolute dates are compared with the response's own `Date`
    /// header where it has one, so that a difference between the two clocks cancels out.
    pub(crate) fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name| text(name).and_then(parse_number);
        // Casts from floating point saturate.
        let count = |name| number(name).map(|count| count as u32);
        let date = |value: &str| Some(DateTime::parse_from_rfc2822(value).ok()?.to_utc());
        let now = text(DATE.as_str()).and_then(date).unwrap_or(now);
        // Seen both as seconds from now and as a Unix time.
        let reset = number("x-ratelimit-reset").map(|reset| reset as i64);
        let reset = reset.and_then(|reset| match reset {
            delta if delta < 1_000_000 => Some(TimeDelta::seconds(delta)),
            epoch => Some(DateTime::from_timestamp(epoch, 0)? - now),
        });
        let retry_after = text(RETRY_AFTER.as_str()).and_then(|value| match parse_number(value) {
            Some(seconds) => Some(TimeDelta::seconds((seconds.ceil() as u32).into())),
            None => Some(date(value)? - now),
        });
        Self {
            limit: count("x-ratelimit-limit").filter(|limit| *limit > 0),
            remaining: count("x-ratelimit-remaining"),
            reset,
            near_limit: text("x-ratelimit-nearlimit")
                .and_then(|text| text.to_lowercase().parse().ok()),
            retry_after: retry_after.map(|delay| delay.max(TimeDelta::zero())),
        }
    }
}

/// Parse a header's number, of any size; `None` for a negative number and for text.
fn parse_number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn read(headers: &[(&'static str, &str)]) -> RateLimitHeaders {
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        RateLimitHeaders::read(&headers.collect(), now)
    }

    fn retry_after(value: &str) -> Option<i64> {
        let headers = read(&[("retry-after", value)]);
        headers.retry_after.map(|delay| delay.num_seconds())
    }

    fn reset(value: &str) -> Option<i64> {
        let headers = read(&[("x-ratelimit-reset", value)]);
        // The header comes with every response and does not request a delay.
        assert_eq!(headers.retry_after, None);
        headers.reset.map(|reset| reset.num_seconds())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("17"), Some(17));
        assert_eq!(retry_after("Mon, 23 Nov 2026 10:01:00 GMT"), Some(60));
        assert_eq!(retry_after("Mon, 23 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("0.2"), Some(1));
        assert_eq!(retry_after("-5"), None);
        assert_eq!(retry_after("NaN"), None);
    }

    #[test]
    fn ratelimit_reset_is_a_delta_or_an_epoch() {
        assert_eq!(reset("120"), Some(120));
        assert_eq!(reset("1795428090"), Some(90));
        assert_eq!(reset("-5"), None);
    }

    #[test]
    fn dates_are_compared_with_the_date_header_of_the_response() {
        let headers = read(&[
            ("date", "Thu, 23 Nov 2023 10:00:00 GMT"),
            ("retry-after", "Thu, 23 Nov 2023 10:00:30 GMT"),
        ]);
        assert_eq!(headers.retry_after, Some(TimeDelta::seconds(30)));
    }

    #[test]
    fn limit_remaining_and_near_limit_are_read() {
        let headers = read(&[
            ("x-ratelimit-limit", "1000"),
            ("x-ratelimit-remaining", "12"),
            ("x-ratelimit-nearlimit", "True"),
        ]);
        assert_eq!((headers.limit, headers.remaining), (Some(1000), Some(12)));
        assert_eq!(
            (headers.near_limit, headers.retry_after),
            (Some(true), None)
        );
    }

    #[test]
    fn numbers_out_of_range_are_clamped() {
        for huge in ["99999999999", "1e300", "inf"] {
            assert_eq!(retry_after(huge), Some(u32::MAX.into()), "{huge}");
        }
        assert!(retry_after("Fri, 31 Dec 9999 23:59:59 GMT").is_some());
        let huge = read(&[
            ("x-ratelimit-limit", "99999999999"),
            ("x-ratelimit-remaining", "99999999999"),
        ]);
        let most = Some(u32::MAX);
        assert_eq!((huge.limit, huge.remaining), (most, most));
        assert_eq!(read(&[("x-ratelimit-limit", "0")]).limit, None);
        assert_eq!(read(&[("x-ratelimit-limit", "-1")]).limit, None);
        for reset in ["9223372036854775807", "9999999999999", "1000000"] {
            read(&[("x-ratelimit-reset", reset)]);
        }
    }
}
