//! Arbitrary bytes and headers in a response.

use axum::http::HeaderValue;
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use reqwest::header::HeaderName;

use super::super::rate_limit::RateLimitHeaders;
use super::super::refusal::Refusal;
use super::*;

const NAMES: [&str; 9] = [
    "date",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-nearlimit",
    "x-oauth-scopes",
    "content-type",
    "location",
];
const VALUES: [&str; 17] = [
    "0",
    "-1",
    "4294967295",
    "4294967296",
    "999999",
    "1000000",
    "253402300799",
    "8210266876799",
    "9223372036854775807",
    "-9223372036854775808",
    "1e999",
    "Mon, 30 Nov 2026 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Sat, 01 Jan 0000 00:00:00 +2359",
    "true",
    "text/html",
    ", ,repository,,",
];

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = proptest::sample::select(&NAMES[..]);
    let value = prop_oneof![
        proptest::sample::select(&VALUES[..]).prop_map(|text| text.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..30),
    ];
    proptest::collection::vec((name, value), 0..7).prop_map(|pairs| {
        let valid = |(name, value): (&str, Vec<u8>)| {
            let value = HeaderValue::from_bytes(&value).ok()?;
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        };
        pairs.into_iter().filter_map(valid).collect()
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = (
        proptest::sample::select(&["message", "detail", "fields", "id", "data", "error"][..]),
        proptest::sample::select(
            &[
                "\"x\"",
                "null",
                "{}",
                "[]",
                "[{}]",
                "{\"required\": [1, \"a\"], \"granted\": {}}",
                "{\"name\": []}",
                "{\"shas\": [null, \"abc\"], \"announcement_url\": 3}",
                "\"\\u001b[2J\\n\"",
            ][..],
        ),
    );
    prop_oneof![
        json.clone()
            .prop_map(|(key, value)| format!("{{\"error\": {{\"{key}\": {value}}}}}").into_bytes()),
        json.prop_map(|(key, value)| format!("{{\"{key}\": {value}}}").into_bytes()),
        any::<String>().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..60),
        Just("<title>\u{130}</TITLE><html>".as_bytes().to_vec()),
        (1_usize..5_000).prop_map(|n| "[".repeat(n).into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn an_arbitrary_body_becomes_one_short_line(status in 100_u16..600, headers in headers(), body in body()) {
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal::read(status, &headers, &body, str::to_owned);
        prop_assert_eq!(refusal.status, status);
        prop_assert!(!refusal.message.contains(['\n', '\r']), "{}", refusal.message);
        prop_assert!(refusal.message.len() < 4_000);
    }

    #[test]
    fn rate_limit_headers_are_read_deterministically(headers in headers(), now in -9_000_000_000_000_i64..9_000_000_000_000) {
        let Some(now) = DateTime::<Utc>::from_timestamp(now, 0) else {
            return Ok(());
        };
        let read = RateLimitHeaders::read(&headers, now);
        prop_assert_eq!(&RateLimitHeaders::read(&headers, now), &read);
        prop_assert!(read.retry_after.is_none() || headers.contains_key("retry-after"));
    }
}
