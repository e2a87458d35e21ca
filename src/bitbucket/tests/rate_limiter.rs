//! Budgets and gates, by a clock that only the test moves.

use super::super::rate_limiter::{InFlight, RateLimiter, Wait};
use super::super::retry::RateLimitHeaders;
use super::*;
use chrono::{DateTime, TimeDelta, Utc};

fn minute(n: i64) -> DateTime<Utc> {
    "2026-11-24T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(n)
}

fn pace(configured: Option<u32>) -> RateLimiter {
    RateLimiter::new(configured, 1000, &Limits::default(), 7)
}

fn limit(limit: u32) -> RateLimitHeaders {
    RateLimitHeaders {
        limit: Some(limit),
        ..RateLimitHeaders::default()
    }
}

/// Sends one request and answers it at once.
fn send(pace: &mut RateLimiter, now: DateTime<Utc>, said: &RateLimitHeaders) {
    let ticket = pace.take(now).unwrap();
    pace.answered(ticket, now, said);
}

fn send_many(pace: &mut RateLimiter, now: DateTime<Utc>, requests: u32) {
    (0..requests).for_each(|_| send(pace, now, &RateLimitHeaders::default()));
}

#[test]
fn a_full_hour_waits_until_its_oldest_request_is_an_hour_old() {
    let mut pace = pace(Some(2));
    send_many(&mut pace, minute(0), 1);
    send_many(&mut pace, minute(10), 1);
    assert_eq!(pace.look(minute(20)), Err(Wait::Until(minute(60))));
    send_many(&mut pace, minute(60), 1);
    assert_eq!(pace.look(minute(60)), Err(Wait::Until(minute(70))));
}

#[test]
fn a_request_counts_until_an_hour_after_its_answer() {
    let mut pace = pace(Some(1));
    let ticket = pace.take(minute(0)).unwrap();
    assert_eq!(pace.look(minute(70)), Err(Wait::Answer));
    pace.answered(ticket, minute(70), &RateLimitHeaders::default());
    assert_eq!(pace.look(minute(70)), Err(Wait::Until(minute(130))));
}

#[test]
fn the_servers_limit_raises_the_default_but_not_a_configured_one() {
    let mut usual = pace(None);
    send(&mut usual, minute(0), &limit(4000));
    assert_eq!((usual.limit(), usual.left(minute(0))), (4000, 3999));
    let mut configured = pace(Some(500));
    send(&mut configured, minute(0), &limit(4000));
    assert_eq!((configured.limit(), configured.left(minute(0))), (500, 499));
    send(&mut configured, minute(0), &limit(300));
    assert_eq!(configured.limit(), 300);
}

#[test]
fn a_lowered_limit_counts_the_requests_already_sent() {
    let mut pace = pace(None);
    (0..3).for_each(|n| send_many(&mut pace, minute(n), 1));
    send(&mut pace, minute(3), &limit(2));
    // Three of the four have to leave; the third was sent in minute 2.
    assert_eq!(pace.look(minute(4)), Err(Wait::Until(minute(62))));
}

#[test]
fn what_others_spend_is_known_from_what_the_server_has_left() {
    let mut pace = pace(None);
    send_many(&mut pace, minute(0), 99);
    let said = RateLimitHeaders {
        remaining: Some(400),
        ..limit(1000)
    };
    send(&mut pace, minute(1), &said);
    assert_eq!(pace.left(minute(1)), 400);
    // They stopped: the server says so as well.
    let said = RateLimitHeaders {
        remaining: Some(890),
        ..limit(1000)
    };
    send(&mut pace, minute(2), &said);
    assert_eq!(pace.left(minute(2)), 890);
}

#[test]
fn others_spend_the_servers_limit_and_not_the_configured_share() {
    let mut pace = pace(Some(100));
    let said = RateLimitHeaders {
        remaining: Some(600),
        ..limit(1000)
    };
    send(&mut pace, minute(0), &said);
    assert_eq!(pace.left(minute(0)), 99);
}

#[test]
fn nothing_left_waits_for_the_reset() {
    let mut pace = pace(None);
    let said = RateLimitHeaders {
        remaining: Some(0),
        reset: Some(TimeDelta::minutes(5)),
        ..limit(1000)
    };
    send(&mut pace, minute(0), &said);
    assert_eq!(pace.look(minute(1)), Err(Wait::Until(minute(5))));
    assert_eq!(pace.left(minute(5)), 999);
}

#[test]
fn near_the_limit_no_more_than_a_fifth_is_left() {
    let near = |near| RateLimitHeaders {
        near_limit: Some(near),
        ..RateLimitHeaders::default()
    };
    let mut pace = pace(None);
    send(&mut pace, minute(0), &near(true));
    assert_eq!(pace.left(minute(0)), 200);
    // Less than that was known already.
    send_many(&mut pace, minute(0), 100);
    send(&mut pace, minute(0), &near(true));
    assert_eq!(pace.left(minute(0)), 99);
    send(&mut pace, minute(1), &near(false));
    assert_eq!(pace.left(minute(1)), 200);
}

fn refused(pace: &mut RateLimiter, ticket: InFlight, now: DateTime<Utc>, wait: Option<i64>) {
    let said = RateLimitHeaders {
        wait: wait.map(TimeDelta::minutes),
        ..RateLimitHeaders::default()
    };
    pace.refused(ticket, now, &said);
}

/// How long the gate stays closed from `now` on.
fn closed(pace: &mut RateLimiter, now: DateTime<Utc>) -> TimeDelta {
    match pace.look(now) {
        Err(Wait::Until(until)) => until - now,
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_429_nobody_sends_until_its_wait_is_over_and_then_one_alone() {
    let mut pace = pace(None);
    let tickets: Vec<_> = (0..3).map(|_| pace.take(minute(0)).unwrap()).collect();
    refused(&mut pace, tickets[0], minute(1), Some(10));
    let wait = closed(&mut pace, minute(1));
    assert!(wait >= TimeDelta::minutes(10) && wait < TimeDelta::minutes(11));
    assert_eq!(pace.left(minute(1)), 0);
    // The others were refused in the same storm: their wait is this one, and it is not prolonged without being asked.
    refused(&mut pace, tickets[1], minute(2), None);
    assert_eq!(closed(&mut pace, minute(2)), wait - TimeDelta::minutes(1));
    refused(&mut pace, tickets[2], minute(3), Some(20));
    assert_eq!(closed(&mut pace, minute(3)), TimeDelta::minutes(20));
    let alone = pace.take(minute(23)).unwrap();
    assert!(alone.alone);
    assert_eq!(pace.look(minute(40)), Err(Wait::Answer));
    pace.answered(alone, minute(40), &RateLimitHeaders::default());
    assert!(pace.take(minute(40)).is_some_and(|ticket| !ticket.alone));
}

#[test]
fn waits_grow_while_refused_and_end_in_giving_up() {
    let mut pace = pace(None);
    let mut now = minute(0);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let ticket = pace.take(now).unwrap();
        refused(&mut pace, ticket, now, None);
        let wait = closed(&mut pace, now);
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
    let ticket = pace.take(now).unwrap();
    refused(&mut pace, ticket, now, None);
    assert_eq!(pace.look(minute(10_000)), Err(Wait::Never));
}

#[test]
fn a_wait_that_the_429s_name_is_kept_as_it_is_however_often_it_comes() {
    let mut pace = pace(None);
    let mut now = minute(0);
    for _ in 0..50 {
        let ticket = pace.take(now).unwrap();
        let said = RateLimitHeaders {
            wait: Some(TimeDelta::seconds(30)),
            ..RateLimitHeaders::default()
        };
        pace.refused(ticket, now, &said);
        let wait = closed(&mut pace, now).num_seconds();
        assert!((30..36).contains(&wait), "{wait}");
        now += closed(&mut pace, now);
    }
    // A wait of our own begins small all the same.
    let ticket = pace.take(now).unwrap();
    refused(&mut pace, ticket, now, None);
    assert!(closed(&mut pace, now) < TimeDelta::seconds(10));
}

#[test]
fn refusals_that_name_their_wait_are_given_up_after_an_hour() {
    let mut pace = pace(None);
    let mut now = minute(0);
    loop {
        let ticket = pace.take(now).unwrap();
        refused(&mut pace, ticket, now, Some(9));
        match pace.look(now) {
            Err(Wait::Until(until)) => now = until,
            other => {
                assert_eq!(other, Err(Wait::Never));
                break;
            }
        }
    }
    assert!((60..80).contains(&(now - minute(0)).num_minutes()), "{now}");
}

#[test]
fn a_wait_of_no_seconds_is_none() {
    let mut pace = pace(None);
    let ticket = pace.take(minute(0)).unwrap();
    refused(&mut pace, ticket, minute(0), Some(0));
    assert!(closed(&mut pace, minute(0)) >= TimeDelta::seconds(5));
}

#[test]
fn a_relapse_waits_longer_and_a_long_calm_forgets() {
    let mut pace = pace(None);
    let refuse_at = |pace: &mut RateLimiter, now| {
        let ticket = pace.take(now).unwrap();
        refused(pace, ticket, now, None);
        closed(pace, now)
    };
    let answer_at = |pace: &mut RateLimiter, now| send(pace, now, &RateLimitHeaders::default());
    let first = refuse_at(&mut pace, minute(0));
    answer_at(&mut pace, minute(1));
    let second = refuse_at(&mut pace, minute(1));
    assert!(second >= TimeDelta::seconds(15) && first < TimeDelta::seconds(15));
    answer_at(&mut pace, minute(2));
    assert!(refuse_at(&mut pace, minute(5)) < TimeDelta::seconds(15));
}

#[test]
fn when_the_one_that_tries_is_lost_another_tries() {
    let mut pace = pace(None);
    let ticket = pace.take(minute(0)).unwrap();
    refused(&mut pace, ticket, minute(0), None);
    let alone = pace.take(minute(1)).unwrap();
    pace.lost(alone, minute(2));
    assert!(pace.take(minute(2)).is_some_and(|ticket| ticket.alone));
}

#[test]
fn nobody_is_kept_out_for_more_than_an_hour() {
    let mut pace = pace(None);
    let ticket = pace.take(minute(0)).unwrap();
    refused(&mut pace, ticket, minute(0), Some(60 * 24 * 365));
    assert!(closed(&mut pace, minute(0)) < TimeDelta::minutes(61));
}

fn kept(spent: Option<BudgetRecord>, now: DateTime<Utc>, wall: DateTime<Utc>) -> RateLimiter {
    let mut pace = pace(None);
    pace.remember(spent, now, wall);
    pace
}

fn book(pace: &mut RateLimiter, now: DateTime<Utc>) -> BudgetRecord {
    let block = pace.block();
    let spent = pace.spent(block, now, now);
    pace.book(block);
    spent
}

#[test]
fn no_request_goes_out_before_its_block_is_written_down() {
    let mut pace = kept(None, minute(0), minute(0));
    assert!(pace.take(minute(0)).is_none() && pace.needs_block());
    let spent = book(&mut pace, minute(0));
    assert_eq!(spent.open, 20);
    send_many(&mut pace, minute(0), 20);
    assert!(pace.take(minute(0)).is_none() && pace.needs_block());
}

#[test]
fn after_a_kill_the_whole_block_counts_and_after_an_end_what_was_sent() {
    let mut pace = kept(None, minute(0), minute(0));
    book(&mut pace, minute(0));
    send_many(&mut pace, minute(0), 20);
    let killed = book(&mut pace, minute(0));
    send_many(&mut pace, minute(1), 3);
    assert_eq!(
        kept(Some(killed.clone()), minute(2), minute(2)).left(minute(2)),
        960
    );
    pace.close_book();
    let ended = pace.spent(0, minute(2), minute(2));
    assert_eq!(ended.open, 0);
    let mut next = kept(Some(ended), minute(2), minute(2));
    assert_eq!(next.left(minute(2)), 977);
    // What was answered in minute 0 is an hour old, the block may have gone out until the kill was noticed.
    let mut next = kept(Some(killed), minute(30), minute(30));
    assert_eq!((next.left(minute(61)), next.left(minute(90))), (980, 1000));
}

#[test]
fn a_429_and_the_servers_limit_outlive_the_process() {
    let mut pace = kept(None, minute(0), minute(0));
    book(&mut pace, minute(0));
    let ticket = pace.take(minute(0)).unwrap();
    let said = RateLimitHeaders {
        wait: Some(TimeDelta::minutes(30)),
        ..limit(400)
    };
    pace.refused(ticket, minute(0), &said);
    let spent = pace.spent(0, minute(0), minute(0));
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
            let mut pace = kept(Some(spent.clone()), minute(2), wall);
            pace.left(minute(2));
            let _ = pace.look(minute(2));
            book(&mut pace, minute(2));
            pace.left(minute(100));
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
    let mut pace = kept(None, minute(300), minute(300));
    book(&mut pace, minute(300));
    send_many(&mut pace, minute(300), 20);
    pace.close_book();
    let spent = pace.spent(0, minute(300), minute(300));
    let mut next = kept(Some(spent), minute(0), minute(0));
    assert_eq!((next.left(minute(59)), next.left(minute(60))), (980, 1000));
}

#[test]
fn a_clock_put_forward_during_a_run_does_not_make_its_requests_old() {
    let mut pace = kept(None, minute(0), minute(0));
    book(&mut pace, minute(0));
    send_many(&mut pace, minute(0), 20);
    pace.close_book();
    // Ten minutes later, by a clock that was put forward by two hours.
    let spent = pace.spent(0, minute(10), minute(130));
    let mut next = kept(Some(spent), minute(130), minute(130));
    assert_eq!(
        (next.left(minute(179)), next.left(minute(181))),
        (980, 1000)
    );
}

#[test]
fn however_often_it_is_read_and_written_an_hour_stays_an_hour() {
    let mut pace = kept(None, minute(0), minute(0));
    book(&mut pace, minute(0));
    send_many(&mut pace, minute(0) + TimeDelta::seconds(1), 20);
    for n in 1..60 {
        pace.close_book();
        let wall = minute(n) + TimeDelta::microseconds(7);
        let spent = pace.spent(0, minute(n), wall);
        pace = kept(Some(spent), minute(n), wall);
    }
    assert_eq!((pace.left(minute(60)), pace.left(minute(61))), (980, 1000));
}
