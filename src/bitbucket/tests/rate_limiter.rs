//! The rate limiter and the circuit breaker, with a simulated clock.

use super::super::rate_limit::{RateLimitHeaders, SentRequest, Wait};
use super::super::rate_limiter::RateLimiter;
use super::*;
use chrono::{DateTime, TimeDelta, Utc};

fn minute(n: i64) -> DateTime<Utc> {
    "2026-11-24T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

fn limiter(configured: Option<u32>) -> RateLimiter {
    RateLimiter::new(configured, 1000, &Limits::default(), 7)
}

fn no_headers() -> RateLimitHeaders {
    RateLimitHeaders::default()
}

fn limit(limit: u32) -> RateLimitHeaders {
    RateLimitHeaders {
        limit: Some(limit),
        ..no_headers()
    }
}

/// Send one request that is answered immediately.
fn send(limiter: &mut RateLimiter, now: DateTime<Utc>, headers: &RateLimitHeaders) {
    let sent = limiter.start_request(now).unwrap();
    limiter.record_response(sent, now, headers);
}

fn send_many(limiter: &mut RateLimiter, now: DateTime<Utc>, requests: u32) {
    (0..requests).for_each(|_| send(limiter, now, &no_headers()));
}

#[test]
fn a_full_window_blocks_until_its_oldest_request_is_an_hour_old() {
    let mut limiter = limiter(Some(2));
    send_many(&mut limiter, minute(0), 1);
    send_many(&mut limiter, minute(10), 1);
    assert_eq!(limiter.check(minute(20)), Err(Wait::Until(minute(60))));
    send_many(&mut limiter, minute(60), 1);
    assert_eq!(limiter.check(minute(60)), Err(Wait::Until(minute(70))));
}

#[test]
fn a_request_counts_until_an_hour_after_its_response() {
    let mut limiter = limiter(Some(1));
    let sent = limiter.start_request(minute(0)).unwrap();
    assert_eq!(limiter.check(minute(70)), Err(Wait::ForResponse));
    limiter.record_response(sent, minute(70), &no_headers());
    assert_eq!(limiter.check(minute(70)), Err(Wait::Until(minute(130))));
}

#[test]
fn the_reported_limit_raises_the_default_but_not_a_configured_ceiling() {
    let mut default = limiter(None);
    send(&mut default, minute(0), &limit(4000));
    assert_eq!(
        (default.limit(), default.available(minute(0))),
        (4000, 3999)
    );
    let mut configured = limiter(Some(500));
    send(&mut configured, minute(0), &limit(4000));
    assert_eq!(
        (configured.limit(), configured.available(minute(0))),
        (500, 499)
    );
    send(&mut configured, minute(0), &limit(300));
    assert_eq!(configured.limit(), 300);
}

#[test]
fn a_lower_limit_counts_the_requests_already_sent() {
    let mut limiter = limiter(None);
    (0..3).for_each(|n| send_many(&mut limiter, minute(n), 1));
    send(&mut limiter, minute(3), &limit(2));
    // Three of the four requests have to leave the window; the third was sent in minute 2.
    assert_eq!(limiter.check(minute(4)), Err(Wait::Until(minute(62))));
}

#[test]
fn the_requests_of_others_follow_from_the_remaining_ones() {
    let mut limiter = limiter(None);
    send_many(&mut limiter, minute(0), 99);
    let headers = RateLimitHeaders {
        remaining: Some(400),
        ..limit(1000)
    };
    send(&mut limiter, minute(1), &headers);
    assert_eq!(limiter.available(minute(1)), 400);
    // The requests of others have left the window.
    let headers = RateLimitHeaders {
        remaining: Some(890),
        ..limit(1000)
    };
    send(&mut limiter, minute(2), &headers);
    assert_eq!(limiter.available(minute(2)), 890);
}

#[test]
fn the_requests_of_others_count_against_the_reported_limit_and_not_the_ceiling() {
    let mut limiter = limiter(Some(100));
    let headers = RateLimitHeaders {
        remaining: Some(600),
        ..limit(1000)
    };
    send(&mut limiter, minute(0), &headers);
    assert_eq!(limiter.available(minute(0)), 99);
}

#[test]
fn no_remaining_requests_block_until_the_reset() {
    let mut limiter = limiter(None);
    let headers = RateLimitHeaders {
        remaining: Some(0),
        reset: Some(TimeDelta::minutes(5)),
        ..limit(1000)
    };
    send(&mut limiter, minute(0), &headers);
    assert_eq!(limiter.check(minute(1)), Err(Wait::Until(minute(5))));
    assert_eq!(limiter.available(minute(5)), 999);
}

#[test]
fn near_the_limit_at_most_a_fifth_is_left() {
    let near = |near| RateLimitHeaders {
        near_limit: Some(near),
        ..no_headers()
    };
    let mut limiter = limiter(None);
    send(&mut limiter, minute(0), &near(true));
    assert_eq!(limiter.available(minute(0)), 200);
    // A lower number is known already.
    send_many(&mut limiter, minute(0), 100);
    send(&mut limiter, minute(0), &near(true));
    assert_eq!(limiter.available(minute(0)), 99);
    send(&mut limiter, minute(1), &near(false));
    assert_eq!(limiter.available(minute(1)), 200);
}

/// Refuse a request with 429. `retry_after`: in minutes.
fn refuse(
    limiter: &mut RateLimiter,
    sent: SentRequest,
    now: DateTime<Utc>,
    retry_after: Option<i64>,
) {
    let headers = RateLimitHeaders {
        retry_after: retry_after.map(TimeDelta::minutes),
        ..no_headers()
    };
    limiter.record_refusal(sent, now, &headers);
}

/// Return how long the circuit breaker is open after `now`.
fn delay(limiter: &mut RateLimiter, now: DateTime<Utc>) -> TimeDelta {
    match limiter.check(now) {
        Err(Wait::Until(until)) => until - now,
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_429_all_requests_are_blocked_for_the_delay_and_then_one_probes() {
    let mut limiter = limiter(None);
    let sent: Vec<_> = (0..3)
        .map(|_| limiter.start_request(minute(0)).unwrap())
        .collect();
    refuse(&mut limiter, sent[0], minute(1), Some(10));
    let first = delay(&mut limiter, minute(1));
    assert!(first >= TimeDelta::minutes(10) && first < TimeDelta::minutes(11));
    assert_eq!(limiter.available(minute(1)), 0);
    // Requests that were sent before the first refusal do not extend the delay, unless their 429 names a longer one.
    refuse(&mut limiter, sent[1], minute(2), None);
    assert_eq!(
        delay(&mut limiter, minute(2)),
        first - TimeDelta::minutes(1)
    );
    refuse(&mut limiter, sent[2], minute(3), Some(20));
    assert_eq!(delay(&mut limiter, minute(3)), TimeDelta::minutes(20));
    let probe = limiter.start_request(minute(23)).unwrap();
    assert!(probe.is_probe);
    assert_eq!(limiter.check(minute(40)), Err(Wait::ForResponse));
    limiter.record_response(probe, minute(40), &no_headers());
    let next = limiter.start_request(minute(40));
    assert!(next.is_some_and(|sent| !sent.is_probe));
}

#[test]
fn delays_grow_while_requests_are_refused_until_the_breaker_gives_up() {
    let mut limiter = limiter(None);
    let mut now = minute(0);
    let mut delays = Vec::new();
    for _ in 0..9 {
        let sent = limiter.start_request(now).unwrap();
        refuse(&mut limiter, sent, now, None);
        let delay = delay(&mut limiter, now);
        delays.push(delay.num_seconds());
        now += delay;
    }
    let least = [5, 15, 45, 135, 405, 900, 900, 900, 900];
    for (delay, least) in delays.iter().zip(least) {
        assert!((least..2 * least).contains(delay), "{delays:?}");
    }
    // Jitter: the four longest delays differ.
    assert!(
        delays[5..].windows(2).any(|two| two[0] != two[1]),
        "{delays:?}"
    );
    let sent = limiter.start_request(now).unwrap();
    refuse(&mut limiter, sent, now, None);
    assert_eq!(limiter.check(minute(10_000)), Err(Wait::Forever));
}

#[test]
fn a_retry_after_is_used_unchanged_however_often_it_is_repeated() {
    let mut limiter = limiter(None);
    let mut now = minute(0);
    for _ in 0..50 {
        let sent = limiter.start_request(now).unwrap();
        let headers = RateLimitHeaders {
            retry_after: Some(TimeDelta::seconds(30)),
            ..no_headers()
        };
        limiter.record_refusal(sent, now, &headers);
        let seconds = delay(&mut limiter, now).num_seconds();
        assert!((30..36).contains(&seconds), "{seconds}");
        now += delay(&mut limiter, now);
    }
    // The first delay without Retry-After is short all the same.
    let sent = limiter.start_request(now).unwrap();
    refuse(&mut limiter, sent, now, None);
    assert!(delay(&mut limiter, now) < TimeDelta::seconds(10));
}

#[test]
fn refusals_with_retry_after_are_given_up_after_an_hour() {
    let mut limiter = limiter(None);
    let mut now = minute(0);
    loop {
        let sent = limiter.start_request(now).unwrap();
        refuse(&mut limiter, sent, now, Some(9));
        match limiter.check(now) {
            Err(Wait::Until(until)) => now = until,
            other => {
                assert_eq!(other, Err(Wait::Forever));
                break;
            }
        }
    }
    assert!((60..80).contains(&(now - minute(0)).num_minutes()), "{now}");
}

#[test]
fn a_retry_after_of_zero_seconds_is_ignored() {
    let mut limiter = limiter(None);
    let sent = limiter.start_request(minute(0)).unwrap();
    refuse(&mut limiter, sent, minute(0), Some(0));
    assert!(delay(&mut limiter, minute(0)) >= TimeDelta::seconds(5));
}

#[test]
fn a_refusal_soon_after_a_delay_extends_the_next_delay_and_a_later_one_does_not() {
    let mut limiter = limiter(None);
    let refuse_at = |limiter: &mut RateLimiter, now| {
        let sent = limiter.start_request(now).unwrap();
        refuse(limiter, sent, now, None);
        delay(limiter, now)
    };
    let answer_at = |limiter: &mut RateLimiter, now| send(limiter, now, &no_headers());
    let first = refuse_at(&mut limiter, minute(0));
    answer_at(&mut limiter, minute(1));
    let second = refuse_at(&mut limiter, minute(1));
    assert!(second >= TimeDelta::seconds(15) && first < TimeDelta::seconds(15));
    answer_at(&mut limiter, minute(2));
    assert!(refuse_at(&mut limiter, minute(5)) < TimeDelta::seconds(15));
}

#[test]
fn after_a_lost_probe_the_next_request_is_the_probe() {
    let mut limiter = limiter(None);
    let sent = limiter.start_request(minute(0)).unwrap();
    refuse(&mut limiter, sent, minute(0), None);
    let probe = limiter.start_request(minute(1)).unwrap();
    limiter.record_lost(probe, minute(2));
    let next = limiter.start_request(minute(2));
    assert!(next.is_some_and(|sent| sent.is_probe));
}

#[test]
fn no_delay_is_longer_than_an_hour() {
    let mut limiter = limiter(None);
    let sent = limiter.start_request(minute(0)).unwrap();
    refuse(&mut limiter, sent, minute(0), Some(60 * 24 * 365));
    assert!(delay(&mut limiter, minute(0)) < TimeDelta::minutes(61));
}

fn restored(record: Option<BudgetRecord>, now: DateTime<Utc>, wall: DateTime<Utc>) -> RateLimiter {
    let mut limiter = limiter(None);
    limiter.restore(record, now, wall);
    limiter
}

/// Reserve a block of requests. Return the record that is persisted.
fn reserve(limiter: &mut RateLimiter, now: DateTime<Utc>) -> BudgetRecord {
    let block = limiter.block_size();
    let record = limiter.snapshot(block, now, now);
    limiter.reserve(block);
    record
}

#[test]
fn no_request_is_sent_before_its_block_is_persisted() {
    let mut limiter = restored(None, minute(0), minute(0));
    assert!(limiter.start_request(minute(0)).is_none() && limiter.needs_reservation());
    let record = reserve(&mut limiter, minute(0));
    assert_eq!(record.open, 20);
    send_many(&mut limiter, minute(0), 20);
    assert!(limiter.start_request(minute(0)).is_none() && limiter.needs_reservation());
}

#[test]
fn after_a_kill_the_whole_block_counts_and_after_an_exit_the_sent_requests() {
    let mut limiter = restored(None, minute(0), minute(0));
    reserve(&mut limiter, minute(0));
    send_many(&mut limiter, minute(0), 20);
    let killed = reserve(&mut limiter, minute(0));
    send_many(&mut limiter, minute(1), 3);
    assert_eq!(
        restored(Some(killed.clone()), minute(2), minute(2)).available(minute(2)),
        960
    );
    limiter.release_reservation();
    let closed = limiter.snapshot(0, minute(2), minute(2));
    assert_eq!(closed.open, 0);
    let mut next = restored(Some(closed), minute(2), minute(2));
    assert_eq!(next.available(minute(2)), 977);
    // The requests of minute 0 are an hour old; those of the block may have been sent until the record was read.
    let mut next = restored(Some(killed), minute(30), minute(30));
    assert_eq!(
        (next.available(minute(61)), next.available(minute(90))),
        (980, 1000)
    );
}

#[test]
fn the_delay_after_a_429_and_the_reported_limit_are_persisted() {
    let mut limiter = restored(None, minute(0), minute(0));
    reserve(&mut limiter, minute(0));
    let sent = limiter.start_request(minute(0)).unwrap();
    let headers = RateLimitHeaders {
        retry_after: Some(TimeDelta::minutes(30)),
        ..limit(400)
    };
    limiter.record_refusal(sent, minute(0), &headers);
    let record = limiter.snapshot(0, minute(0), minute(0));
    let mut next = restored(Some(record), minute(10), minute(10));
    assert_eq!(next.limit(), 400);
    assert!(delay(&mut next, minute(10)) >= TimeDelta::minutes(20));
}

#[test]
fn an_implausible_record_has_a_flaw_and_causes_no_panic() {
    let most = u32::MAX;
    let minutes = |times: &[DateTime<Utc>]| times.iter().map(|at| (*at, most)).collect();
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let implausible = [
        BudgetRecord {
            minutes: minutes(&[first, minute(0), minute(1), last]),
            open: most,
            limit: Some(most),
            closed_until: Some(last),
        },
        BudgetRecord {
            open: 10_000_001,
            ..BudgetRecord::default()
        },
        BudgetRecord {
            limit: Some(0),
            ..BudgetRecord::default()
        },
    ];
    for record in implausible {
        assert!(record.flaw().is_some(), "{record:?}");
        // The limiter does not rely on the check.
        for wall in [minute(-300), minute(2), minute(300)] {
            let mut limiter = restored(Some(record.clone()), minute(2), wall);
            limiter.available(minute(2));
            let _ = limiter.check(minute(2));
            reserve(&mut limiter, minute(2));
            limiter.available(minute(100));
        }
    }
    let plausible = BudgetRecord {
        minutes: [(minute(0), 1_000_000)].into(),
        limit: Some(1_000_000),
        ..BudgetRecord::default()
    };
    assert_eq!(plausible.flaw(), None);
}

#[test]
fn the_keys_of_a_record_are_stable() {
    let record = BudgetRecord {
        minutes: [(minute(0), 3)].into(),
        open: 20,
        limit: Some(1000),
        closed_until: Some(minute(1)),
    };
    let text = r#"{"minutes":{"2026-11-24T10:00:00Z":3},"open":20,"limit":1000,"closed_until":"2026-11-24T10:01:00Z"}"#;
    assert_eq!(serde_json::to_string(&record).unwrap(), text);
    assert_eq!(serde_json::from_str::<BudgetRecord>(text).unwrap(), record);
}

#[test]
fn times_in_the_future_count_as_now() {
    let mut limiter = restored(None, minute(300), minute(300));
    reserve(&mut limiter, minute(300));
    send_many(&mut limiter, minute(300), 20);
    limiter.release_reservation();
    let record = limiter.snapshot(0, minute(300), minute(300));
    let mut next = restored(Some(record), minute(0), minute(0));
    assert_eq!(
        (next.available(minute(59)), next.available(minute(60))),
        (980, 1000)
    );
}

#[test]
fn a_clock_that_is_set_forward_during_a_run_does_not_age_its_requests() {
    let mut limiter = restored(None, minute(0), minute(0));
    reserve(&mut limiter, minute(0));
    send_many(&mut limiter, minute(0), 20);
    limiter.release_reservation();
    // Ten minutes later, with a clock that was set forward by two hours.
    let record = limiter.snapshot(0, minute(10), minute(130));
    let mut next = restored(Some(record), minute(130), minute(130));
    assert_eq!(
        (next.available(minute(179)), next.available(minute(181))),
        (980, 1000)
    );
}

#[test]
fn repeated_writes_and_reads_do_not_change_the_age_of_requests() {
    let mut limiter = restored(None, minute(0), minute(0));
    reserve(&mut limiter, minute(0));
    send_many(&mut limiter, minute(0) + TimeDelta::seconds(1), 20);
    for n in 1..60 {
        limiter.release_reservation();
        let wall = minute(n) + TimeDelta::microseconds(7);
        let record = limiter.snapshot(0, minute(n), wall);
        limiter = restored(Some(record), minute(n), wall);
    }
    assert_eq!(
        (limiter.available(minute(60)), limiter.available(minute(61))),
        (980, 1000)
    );
}
