//! Budgets and gates, by a clock that only the test moves.

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

fn limit(limit: u32) -> RateLimitHeaders {
    RateLimitHeaders {
        limit: Some(limit),
        ..RateLimitHeaders::default()
    }
}

/// Sends one request and answers it at once.
fn send(limiter: &mut RateLimiter, now: DateTime<Utc>, headers: &RateLimitHeaders) {
    let sent = limiter.start_request(now).unwrap();
    limiter.record_response(sent, now, headers);
}

fn send_many(limiter: &mut RateLimiter, now: DateTime<Utc>, requests: u32) {
    (0..requests).for_each(|_| send(limiter, now, &RateLimitHeaders::default()));
}

#[test]
fn a_full_hour_waits_until_its_oldest_request_is_an_hour_old() {
    let mut limiter = limiter(Some(2));
    send_many(&mut limiter, minute(0), 1);
    send_many(&mut limiter, minute(10), 1);
    assert_eq!(limiter.check(minute(20)), Err(Wait::Until(minute(60))));
    send_many(&mut limiter, minute(60), 1);
    assert_eq!(limiter.check(minute(60)), Err(Wait::Until(minute(70))));
}

#[test]
fn a_request_counts_until_an_hour_after_its_answer() {
    let mut limiter = limiter(Some(1));
    let sent = limiter.start_request(minute(0)).unwrap();
    assert_eq!(limiter.check(minute(70)), Err(Wait::ForResponse));
    limiter.record_response(sent, minute(70), &RateLimitHeaders::default());
    assert_eq!(limiter.check(minute(70)), Err(Wait::Until(minute(130))));
}

#[test]
fn the_servers_limit_raises_the_default_but_not_a_configured_one() {
    let mut usual = limiter(None);
    send(&mut usual, minute(0), &limit(4000));
    assert_eq!((usual.limit(), usual.available(minute(0))), (4000, 3999));
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
fn a_lowered_limit_counts_the_requests_already_sent() {
    let mut limiter = limiter(None);
    (0..3).for_each(|n| send_many(&mut limiter, minute(n), 1));
    send(&mut limiter, minute(3), &limit(2));
    // Three of the four have to leave; the third was sent in minute 2.
    assert_eq!(limiter.check(minute(4)), Err(Wait::Until(minute(62))));
}

#[test]
fn what_others_spend_is_known_from_what_the_server_has_left() {
    let mut limiter = limiter(None);
    send_many(&mut limiter, minute(0), 99);
    let headers = RateLimitHeaders {
        remaining: Some(400),
        ..limit(1000)
    };
    send(&mut limiter, minute(1), &headers);
    assert_eq!(limiter.available(minute(1)), 400);
    // They stopped: the server says so as well.
    let headers = RateLimitHeaders {
        remaining: Some(890),
        ..limit(1000)
    };
    send(&mut limiter, minute(2), &headers);
    assert_eq!(limiter.available(minute(2)), 890);
}

#[test]
fn others_spend_the_servers_limit_and_not_the_configured_share() {
    let mut limiter = limiter(Some(100));
    let headers = RateLimitHeaders {
        remaining: Some(600),
        ..limit(1000)
    };
    send(&mut limiter, minute(0), &headers);
    assert_eq!(limiter.available(minute(0)), 99);
}

#[test]
fn nothing_left_waits_for_the_reset() {
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
fn near_the_limit_no_more_than_a_fifth_is_left() {
    let near = |near| RateLimitHeaders {
        near_limit: Some(near),
        ..RateLimitHeaders::default()
    };
    let mut limiter = limiter(None);
    send(&mut limiter, minute(0), &near(true));
    assert_eq!(limiter.available(minute(0)), 200);
    // Less than that was known already.
    send_many(&mut limiter, minute(0), 100);
    send(&mut limiter, minute(0), &near(true));
    assert_eq!(limiter.available(minute(0)), 99);
    send(&mut limiter, minute(1), &near(false));
    assert_eq!(limiter.available(minute(1)), 200);
}

fn refused(limiter: &mut RateLimiter, sent: SentRequest, now: DateTime<Utc>, wait: Option<i64>) {
    let headers = RateLimitHeaders {
        retry_after: wait.map(TimeDelta::minutes),
        ..RateLimitHeaders::default()
    };
    limiter.record_refusal(sent, now, &headers);
}

/// How long the gate stays closed from `now` on.
fn closed(limiter: &mut RateLimiter, now: DateTime<Utc>) -> TimeDelta {
    match limiter.check(now) {
        Err(Wait::Until(until)) => until - now,
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_429_nobody_sends_until_its_wait_is_over_and_then_one_alone() {
    let mut limiter = limiter(None);
    let sent_requests: Vec<_> = (0..3)
        .map(|_| limiter.start_request(minute(0)).unwrap())
        .collect();
    refused(&mut limiter, sent_requests[0], minute(1), Some(10));
    let wait = closed(&mut limiter, minute(1));
    assert!(wait >= TimeDelta::minutes(10) && wait < TimeDelta::minutes(11));
    assert_eq!(limiter.available(minute(1)), 0);
    // The others were refused in the same storm: their wait is this one, and it is not prolonged without being asked.
    refused(&mut limiter, sent_requests[1], minute(2), None);
    assert_eq!(
        closed(&mut limiter, minute(2)),
        wait - TimeDelta::minutes(1)
    );
    refused(&mut limiter, sent_requests[2], minute(3), Some(20));
    assert_eq!(closed(&mut limiter, minute(3)), TimeDelta::minutes(20));
    let alone = limiter.start_request(minute(23)).unwrap();
    assert!(alone.is_probe);
    assert_eq!(limiter.check(minute(40)), Err(Wait::ForResponse));
    limiter.record_response(alone, minute(40), &RateLimitHeaders::default());
    assert!(
        limiter
            .start_request(minute(40))
            .is_some_and(|sent| !sent.is_probe)
    );
}

#[test]
fn waits_grow_while_refused_and_end_in_giving_up() {
    let mut limiter = limiter(None);
    let mut now = minute(0);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let sent = limiter.start_request(now).unwrap();
        refused(&mut limiter, sent, now, None);
        let wait = closed(&mut limiter, now);
        waits.push(wait.num_seconds());
        now += wait;
    }
    let least = [5, 15, 45, 135, 405, 900, 900, 900, 900];
    for (wait, least) in waits.iter().zip(least) {
        assert!((least..2 * least).contains(wait), "{waits:?}");
    }
    // Jitter: the four longest are not alike.
    assert!(
        waits[5..].windows(2).any(|two| two[0] != two[1]),
        "{waits:?}"
    );
    let sent = limiter.start_request(now).unwrap();
    refused(&mut limiter, sent, now, None);
    assert_eq!(limiter.check(minute(10_000)), Err(Wait::Forever));
}

#[test]
fn a_wait_that_the_429s_name_is_kept_as_it_is_however_often_it_comes() {
    let mut limiter = limiter(None);
    let mut now = minute(0);
    for _ in 0..50 {
        let sent = limiter.start_request(now).unwrap();
        let headers = RateLimitHeaders {
            retry_after: Some(TimeDelta::seconds(30)),
            ..RateLimitHeaders::default()
        };
        limiter.record_refusal(sent, now, &headers);
        let wait = closed(&mut limiter, now).num_seconds();
        assert!((30..36).contains(&wait), "{wait}");
        now += closed(&mut limiter, now);
    }
    // A wait of our own begins small all the same.
    let sent = limiter.start_request(now).unwrap();
    refused(&mut limiter, sent, now, None);
    assert!(closed(&mut limiter, now) < TimeDelta::seconds(10));
}

#[test]
fn refusals_that_name_their_wait_are_given_up_after_an_hour() {
    let mut limiter = limiter(None);
    let mut now = minute(0);
    loop {
        let sent = limiter.start_request(now).unwrap();
        refused(&mut limiter, sent, now, Some(9));
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
fn a_wait_of_no_seconds_is_none() {
    let mut limiter = limiter(None);
    let sent = limiter.start_request(minute(0)).unwrap();
    refused(&mut limiter, sent, minute(0), Some(0));
    assert!(closed(&mut limiter, minute(0)) >= TimeDelta::seconds(5));
}

#[test]
fn a_relapse_waits_longer_and_a_long_calm_forgets() {
    let mut limiter = limiter(None);
    let refuse_at = |limiter: &mut RateLimiter, now| {
        let sent = limiter.start_request(now).unwrap();
        refused(limiter, sent, now, None);
        closed(limiter, now)
    };
    let answer_at =
        |limiter: &mut RateLimiter, now| send(limiter, now, &RateLimitHeaders::default());
    let first = refuse_at(&mut limiter, minute(0));
    answer_at(&mut limiter, minute(1));
    let second = refuse_at(&mut limiter, minute(1));
    assert!(second >= TimeDelta::seconds(15) && first < TimeDelta::seconds(15));
    answer_at(&mut limiter, minute(2));
    assert!(refuse_at(&mut limiter, minute(5)) < TimeDelta::seconds(15));
}

#[test]
fn when_the_one_that_tries_is_lost_another_tries() {
    let mut limiter = limiter(None);
    let sent = limiter.start_request(minute(0)).unwrap();
    refused(&mut limiter, sent, minute(0), None);
    let alone = limiter.start_request(minute(1)).unwrap();
    limiter.record_lost(alone, minute(2));
    assert!(
        limiter
            .start_request(minute(2))
            .is_some_and(|sent| sent.is_probe)
    );
}

#[test]
fn nobody_is_kept_out_for_more_than_an_hour() {
    let mut limiter = limiter(None);
    let sent = limiter.start_request(minute(0)).unwrap();
    refused(&mut limiter, sent, minute(0), Some(60 * 24 * 365));
    assert!(closed(&mut limiter, minute(0)) < TimeDelta::minutes(61));
}

fn kept(spent: Option<BudgetRecord>, now: DateTime<Utc>, wall: DateTime<Utc>) -> RateLimiter {
    let mut limiter = limiter(None);
    limiter.restore(spent, now, wall);
    limiter
}

fn book(limiter: &mut RateLimiter, now: DateTime<Utc>) -> BudgetRecord {
    let block = limiter.block_size();
    let spent = limiter.to_record(block, now, now);
    limiter.reserve(block);
    spent
}

#[test]
fn no_request_goes_out_before_its_block_is_written_down() {
    let mut limiter = kept(None, minute(0), minute(0));
    assert!(limiter.start_request(minute(0)).is_none() && limiter.needs_reservation());
    let spent = book(&mut limiter, minute(0));
    assert_eq!(spent.open, 20);
    send_many(&mut limiter, minute(0), 20);
    assert!(limiter.start_request(minute(0)).is_none() && limiter.needs_reservation());
}

#[test]
fn after_a_kill_the_whole_block_counts_and_after_an_end_what_was_sent() {
    let mut limiter = kept(None, minute(0), minute(0));
    book(&mut limiter, minute(0));
    send_many(&mut limiter, minute(0), 20);
    let killed = book(&mut limiter, minute(0));
    send_many(&mut limiter, minute(1), 3);
    assert_eq!(
        kept(Some(killed.clone()), minute(2), minute(2)).available(minute(2)),
        960
    );
    limiter.release_reservation();
    let ended = limiter.to_record(0, minute(2), minute(2));
    assert_eq!(ended.open, 0);
    let mut next = kept(Some(ended), minute(2), minute(2));
    assert_eq!(next.available(minute(2)), 977);
    // What was answered in minute 0 is an hour old, the block may have gone out until the kill was noticed.
    let mut next = kept(Some(killed), minute(30), minute(30));
    assert_eq!(
        (next.available(minute(61)), next.available(minute(90))),
        (980, 1000)
    );
}

#[test]
fn a_429_and_the_servers_limit_outlive_the_process() {
    let mut limiter = kept(None, minute(0), minute(0));
    book(&mut limiter, minute(0));
    let sent = limiter.start_request(minute(0)).unwrap();
    let headers = RateLimitHeaders {
        retry_after: Some(TimeDelta::minutes(30)),
        ..limit(400)
    };
    limiter.record_refusal(sent, minute(0), &headers);
    let spent = limiter.to_record(0, minute(0), minute(0));
    let mut next = kept(Some(spent), minute(10), minute(10));
    assert_eq!(next.limit(), 400);
    assert!(closed(&mut next, minute(10)) >= TimeDelta::minutes(20));
}

#[test]
fn a_budget_with_absurd_counts_has_a_flaw_and_stops_nobody_by_a_panic() {
    let most = u32::MAX;
    let minutes = |times: &[DateTime<Utc>]| times.iter().map(|at| (*at, most)).collect();
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let absurd = [
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
    for spent in absurd {
        assert!(spent.flaw().is_some(), "{spent:?}");
        // Whoever reads it without a look, by whatever clock.
        for wall in [minute(-300), minute(2), minute(300)] {
            let mut limiter = kept(Some(spent.clone()), minute(2), wall);
            limiter.available(minute(2));
            let _ = limiter.check(minute(2));
            book(&mut limiter, minute(2));
            limiter.available(minute(100));
        }
    }
    let honest = BudgetRecord {
        minutes: [(minute(0), 1_000_000)].into(),
        limit: Some(1_000_000),
        ..BudgetRecord::default()
    };
    assert_eq!(honest.flaw(), None);
}

#[test]
fn what_lies_in_the_future_counts_as_now() {
    let mut limiter = kept(None, minute(300), minute(300));
    book(&mut limiter, minute(300));
    send_many(&mut limiter, minute(300), 20);
    limiter.release_reservation();
    let spent = limiter.to_record(0, minute(300), minute(300));
    let mut next = kept(Some(spent), minute(0), minute(0));
    assert_eq!(
        (next.available(minute(59)), next.available(minute(60))),
        (980, 1000)
    );
}

#[test]
fn a_clock_put_forward_during_a_run_does_not_make_its_requests_old() {
    let mut limiter = kept(None, minute(0), minute(0));
    book(&mut limiter, minute(0));
    send_many(&mut limiter, minute(0), 20);
    limiter.release_reservation();
    // Ten minutes later, by a clock that was put forward by two hours.
    let spent = limiter.to_record(0, minute(10), minute(130));
    let mut next = kept(Some(spent), minute(130), minute(130));
    assert_eq!(
        (next.available(minute(179)), next.available(minute(181))),
        (980, 1000)
    );
}

#[test]
fn however_often_it_is_read_and_written_an_hour_stays_an_hour() {
    let mut limiter = kept(None, minute(0), minute(0));
    book(&mut limiter, minute(0));
    send_many(&mut limiter, minute(0) + TimeDelta::seconds(1), 20);
    for n in 1..60 {
        limiter.release_reservation();
        let wall = minute(n) + TimeDelta::microseconds(7);
        let spent = limiter.to_record(0, minute(n), wall);
        limiter = kept(Some(spent), minute(n), wall);
    }
    assert_eq!(
        (limiter.available(minute(60)), limiter.available(minute(61))),
        (980, 1000)
    );
}
