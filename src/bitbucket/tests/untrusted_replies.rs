//! Arbitrary headers, bodies and budget records cause no panic and no wait of more than an hour.

use super::super::rate_limit::{RateLimitHeaders, Wait};
use super::super::rate_limiter::RateLimiter;
use super::super::refusal::Refusal;
use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};

const HEADERS: [&str; 8] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-nearlimit",
    "retry-after",
    "date",
    "x-oauth-scopes",
    "x-accepted-oauth-scopes",
];

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        (0..5000u32).prop_map(|n| n.to_string()),
        "[0-9]{1,40}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => number(),
        1 => "[a-zA-Z]{3}, [0-9]{2} [a-zA-Z]{3} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|[+-][0-9]{4})",
        1 => (0..253_402_300_800i64).prop_map(|second| {
            let time = DateTime::from_timestamp(second, 0).unwrap_or_default();
            time.to_rfc2822()
        }),
        1 => "((read|write):)?[a-z]{1,12}(:bitbucket|:write)?(, [a-z]{1,9}){0,3}",
        1 => "[ -~]{0,40}",
    ]
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec((prop::sample::select(&HEADERS[..]), value()), 0..8).prop_map(|pairs| {
        let pair = |(name, value): (&'static str, String)| {
            Some((
                HeaderName::from_static(name),
                HeaderValue::from_str(&value).ok()?,
            ))
        };
        pairs.into_iter().filter_map(pair).collect()
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof!["[ -~]{0,30}", Just("s3cr3t".to_owned()), "\\PC{0,400}"];
    let json = (word, number()).prop_map(|(word, number)| {
        let text = serde_json::Value::from(word);
        format!(
            r#"{{"error":{{"message":{text},"detail":{{"required":[{text},{number}],"granted":{number}}},"fields":{{{text}:[{text}]}},"data":{{"announcement_url":{text},"shas":[{text}]}}}}}}"#
        )
        .into_bytes()
    });
    prop_oneof![json, prop::collection::vec(any::<u8>(), 0..600)]
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![
        Just(DateTime::<Utc>::MIN_UTC),
        Just(DateTime::<Utc>::MAX_UTC),
        (-4_000_000i64..4_000_000).prop_map(|second| now() + TimeDelta::seconds(second)),
    ]
}

fn record() -> impl Strategy<Value = BudgetRecord> {
    let count = || prop_oneof![any::<u32>(), 0..2000u32];
    let minutes = prop::collection::btree_map(time(), count(), 0..6);
    let limit = prop::option::of(count());
    (minutes, count(), limit, prop::option::of(time())).prop_map(
        |(minutes, open, limit, closed_until)| BudgetRecord {
            minutes,
            open,
            limit,
            closed_until,
        },
    )
}

fn now() -> DateTime<Utc> {
    "2026-11-24T10:00:00Z".parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_wait_is_longer_than_an_hour(
        replies in prop::collection::vec((headers(), any::<bool>(), 0..4000i64), 1..12),
        record in prop::option::of(record()),
        offset in -400_000i64..400_000,
    ) {
        let mut now = now();
        let mut limiter = RateLimiter::new(None, 1000, &Limits::default(), 7);
        limiter.restore(record, now, now + TimeDelta::seconds(offset));
        for (headers, is_refused, seconds) in replies {
            let headers = RateLimitHeaders::read(&headers, now);
            if limiter.needs_reservation() {
                let block = limiter.block_size();
                limiter.snapshot(block, now, now + TimeDelta::seconds(offset));
                limiter.reserve(block);
            }
            if let Some(sent) = limiter.start_request(now) {
                match is_refused {
                    true => drop(limiter.record_refusal(sent, now, &headers)),
                    false => limiter.record_response(sent, now, &headers),
                }
            }
            if let Err(Wait::Until(until)) = limiter.check(now) {
                // Jitter adds a few seconds to a requested delay.
                prop_assert!(until - now <= TimeDelta::seconds(3605), "{until}");
            }
            now += TimeDelta::seconds(seconds);
        }
    }

    #[test]
    fn a_refusal_is_one_short_line_without_credentials(
        headers in headers(), body in body(), status in 300..600u16,
    ) {
        let masker = Masker::of(["s3cr3t"]);
        let mask = |text: &str| masker.mask(text).into_owned();
        let status = reqwest::StatusCode::from_u16(status).unwrap();
        let refusal = Refusal::read(status, &headers, &body, mask);
        let texts = [&refusal.message].into_iter()
            .chain(&refusal.required_scopes)
            .chain(&refusal.granted_scopes)
            .chain(&refusal.announcement)
            .chain(&refusal.unknown_commits);
        for text in texts {
            prop_assert!(!text.contains("s3cr3t"), "{text}");
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
            prop_assert!(text.chars().count() <= 301, "{text}");
        }
    }
}
