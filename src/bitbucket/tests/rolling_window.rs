//! No 60 minutes contain more requests than the budget allows, with any sequence of workers, restarts, refusals and other
//! programs. The clock is simulated, and the simulated servers count in rolling windows.

use std::collections::BTreeMap;

use super::super::budgets::{Choice, choose};
use super::super::rate_limit::{RateLimitHeaders, SentRequest, Wait};
use super::super::rate_limiter::RateLimiter;
use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

const LIMIT: u32 = 60;
const NAMES: [&str; 3] = ["one", "two", "three"];

#[derive(Debug, Clone)]
enum Event {
    /// This number of workers send a request each.
    Work(u8),
    Pass {
        seconds: u16,
    },
    /// The process is killed and restarted.
    Kill,
    /// The process exits and is restarted.
    Exit,
    /// A server answers every request with 429.
    Outage {
        server: u8,
        minutes: u8,
        retry_after: Option<u16>,
    },
    /// Other programs send requests with the same budget.
    Others {
        server: u8,
        requests: u8,
    },
    Limit {
        server: u8,
        limit: u8,
    },
}

/// `is_alone`: no other program uses the budget, and its limit does not change.
fn event(is_alone: bool) -> impl Strategy<Value = Event> {
    let server = 0..NAMES.len() as u8;
    let own = prop_oneof![
        8 => (1..20u8).prop_map(Event::Work),
        6 => (1..1200u16).prop_map(|seconds| Event::Pass { seconds }),
        1 => Just(Event::Kill),
        1 => Just(Event::Exit),
        1 => (server.clone(), 1..60u8, prop::option::of(0..900u16))
            .prop_map(|(server, minutes, retry_after)| Event::Outage { server, minutes, retry_after }),
    ];
    let others = prop_oneof![
        (server.clone(), 1..60u8).prop_map(|(server, requests)| Event::Others { server, requests }),
        (server, 10..200u8).prop_map(|(server, limit)| Event::Limit { server, limit }),
    ];
    if is_alone {
        own.boxed()
    } else {
        prop_oneof![9 => own, 1 => others].boxed()
    }
}

/// The headers that a server sends.
#[derive(Debug, Clone, Copy, Default)]
struct Headers {
    limit: bool,
    remaining: bool,
    near: bool,
}

struct SimulatedServer {
    headers: Headers,
    limit: u32,
    own: Vec<DateTime<Utc>>,
    others: Vec<DateTime<Utc>>,
    /// The end of an outage, and its Retry-After in seconds.
    outage: Option<(DateTime<Utc>, Option<u16>)>,
    /// The limit that the client knows.
    reported_limit: u32,
    /// The client may not send before this time.
    blocked_until: DateTime<Utc>,
    refused_at: DateTime<Utc>,
}

/// A request in flight.
struct Flight {
    server: usize,
    sent: SentRequest,
    arrives: DateTime<Utc>,
    has_arrived: bool,
    /// Whether the request is refused, and the headers of the response.
    response: Option<(bool, RateLimitHeaders)>,
    answered: DateTime<Utc>,
}

struct World {
    now: DateTime<Utc>,
    random: u64,
    servers: Vec<SimulatedServer>,
    flights: Vec<Flight>,
    limiters: BTreeMap<String, RateLimiter>,
    records: BTreeMap<String, BudgetRecord>,
    sent: u64,
}

fn in_window(times: &[DateTime<Utc>], now: DateTime<Utc>) -> u32 {
    let recent = times.iter().filter(|at| now - **at < TimeDelta::hours(1));
    recent.count() as u32
}

impl World {
    fn new(headers: Headers, seed: u64) -> Self {
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        let server = |_| SimulatedServer {
            headers,
            limit: LIMIT,
            own: Vec::new(),
            others: Vec::new(),
            outage: None,
            reported_limit: LIMIT,
            blocked_until: now,
            refused_at: now,
        };
        let mut world = Self {
            now,
            random: seed | 1,
            servers: NAMES.iter().map(server).collect(),
            flights: Vec::new(),
            limiters: BTreeMap::new(),
            records: BTreeMap::new(),
            sent: 0,
        };
        world.start();
        world
    }

    fn random_below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn start(&mut self) {
        let limits = Limits {
            rate_limit_retries: usize::MAX,
            rate_limit_longest_total_wait: Duration::from_secs(1 << 30),
            ..Limits::default()
        };
        for (server, name) in NAMES.iter().enumerate() {
            let seed = self.random_below(u64::MAX);
            let mut limiter = RateLimiter::new(None, LIMIT, &limits, seed);
            let record = self.records.get(*name).cloned();
            let limit = record.as_ref().and_then(|record| record.limit);
            self.servers[server].reported_limit = limit.unwrap_or(LIMIT);
            limiter.restore(record, self.now, self.now);
            self.limiters.insert((*name).to_owned(), limiter);
        }
    }

    fn persist(&mut self, name: &str, block: u32) {
        let limiter = self.limiters.get_mut(name).unwrap();
        let record = limiter.snapshot(block, self.now, self.now);
        self.records.insert(name.to_owned(), record);
        limiter.reserve(block);
    }

    fn work(&mut self, workers: u8) {
        for _ in 0..workers {
            loop {
                match choose(&mut self.limiters, &NAMES, self.now, true) {
                    Choice::Restore(name) => panic!("{name} is restored"),
                    Choice::Reserve(name) => {
                        let block = self.limiters[&name].block_size();
                        self.persist(&name, block);
                    }
                    Choice::Wait(wait) => {
                        assert_ne!(wait, Wait::Forever);
                        if let Wait::Until(until) = wait {
                            assert!(until > self.now, "the wait is over");
                        }
                        return;
                    }
                    Choice::Send(name, sent) => {
                        self.send(&name, sent);
                        break;
                    }
                }
            }
        }
    }

    fn send(&mut self, name: &str, sent: SentRequest) {
        let n = NAMES.iter().position(|known| *known == name).unwrap();
        let there = TimeDelta::milliseconds(1 + self.random_below(20_000) as i64);
        let back = TimeDelta::milliseconds(1 + self.random_below(20_000) as i64);
        let server = &self.servers[n];
        assert!(
            self.now >= server.blocked_until,
            "sent between a 429 and the end of its delay"
        );
        let is_on_its_way = |it: &&Flight| it.server == n && !it.has_arrived;
        let on_their_way = self.flights.iter().filter(is_on_its_way).count();
        let own = in_window(&server.own, self.now) + on_their_way as u32;
        assert!(
            own < server.reported_limit,
            "{own} in the window, reported limit {}",
            server.reported_limit
        );
        self.sent += 1;
        self.flights.push(Flight {
            server: n,
            sent,
            arrives: self.now + there,
            has_arrived: false,
            response: None,
            answered: self.now + there + back,
        });
    }

    fn arrive(&mut self, flight: usize, is_alone: bool) {
        let flight = &mut self.flights[flight];
        flight.has_arrived = true;
        let (now, server) = (flight.arrives, &mut self.servers[flight.server]);
        server.own.push(now);
        let own = in_window(&server.own, now);
        let used = own + in_window(&server.others, now);
        assert!(
            !is_alone || own <= server.limit,
            "{own} arrived within an hour"
        );
        let outage = server.outage.filter(|(until, _)| now < *until);
        let left = server.limit.saturating_sub(used);
        let Headers {
            limit,
            remaining,
            near,
        } = server.headers;
        let headers = RateLimitHeaders {
            limit: limit.then_some(server.limit),
            remaining: remaining.then_some(left),
            reset: None,
            near_limit: near.then_some(left < server.limit / 5),
            retry_after: outage
                .and_then(|(_, seconds)| seconds)
                .map(|seconds| TimeDelta::seconds(seconds.into())),
        };
        flight.response = Some((outage.is_some() || used > server.limit, headers));
    }

    fn answer(&mut self, flight: Flight) {
        let name = NAMES[flight.server];
        let (now, server) = (flight.answered, &mut self.servers[flight.server]);
        let (is_refused, headers) = flight.response.unwrap();
        server.reported_limit = headers.limit.unwrap_or(server.reported_limit);
        let limiter = self.limiters.get_mut(name).unwrap();
        if !is_refused {
            return limiter.record_response(flight.sent, now, &headers);
        }
        // Without Retry-After, the first of consecutive refusals opens the circuit breaker for at least five seconds.
        let is_first = flight.sent.is_probe || flight.sent.at >= server.refused_at;
        let least = if is_first {
            TimeDelta::seconds(5)
        } else {
            TimeDelta::zero()
        };
        let retry_after = headers
            .retry_after
            .filter(|delay| *delay > TimeDelta::zero());
        let delay = retry_after.unwrap_or(least);
        server.blocked_until = server.blocked_until.max(now + delay);
        if delay > TimeDelta::zero() {
            server.refused_at = now;
        }
        limiter.record_refusal(flight.sent, now, &headers);
        self.persist(name, 0);
    }

    fn pass(&mut self, seconds: u16, is_alone: bool) {
        let end = self.now + TimeDelta::seconds(seconds.into());
        loop {
            let flights = self.flights.iter().enumerate();
            let next = flights.map(|(n, flight)| match flight.has_arrived {
                false => (flight.arrives, n),
                true => (flight.answered, n),
            });
            let Some((at, n)) = next.min().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = at;
            if self.flights[n].has_arrived {
                let flight = self.flights.remove(n);
                self.answer(flight);
                // Requests that were blocked until this response.
                self.work(2);
            } else {
                self.arrive(n, is_alone);
            }
        }
        self.now = end;
    }

    /// Requests in flight arrive, and their responses are lost.
    fn kill(&mut self, is_alone: bool) {
        for n in 0..self.flights.len() {
            if !self.flights[n].has_arrived {
                self.flights[n].arrives = self.now;
                self.arrive(n, is_alone);
            }
        }
        self.flights.clear();
    }

    fn exit(&mut self, is_alone: bool) {
        let flights = self.flights.iter();
        let sent: Vec<_> = flights.map(|it| (it.server, it.sent)).collect();
        self.kill(is_alone);
        for (server, sent) in sent {
            let limiter = self.limiters.get_mut(NAMES[server]).unwrap();
            limiter.record_lost(sent, self.now);
        }
        for name in NAMES {
            self.limiters.get_mut(name).unwrap().release_reservation();
            self.persist(name, 0);
        }
    }

    fn apply(&mut self, event: Event, is_alone: bool) {
        match event {
            Event::Work(workers) => self.work(workers),
            Event::Pass { seconds } => self.pass(seconds, is_alone),
            Event::Kill => {
                self.kill(is_alone);
                self.start();
            }
            Event::Exit => {
                self.exit(is_alone);
                self.start();
            }
            Event::Outage {
                server,
                minutes,
                retry_after,
            } => {
                let until = self.now + TimeDelta::minutes(minutes.into());
                self.servers[usize::from(server)].outage = Some((until, retry_after));
            }
            Event::Others { server, requests } => {
                let others = &mut self.servers[usize::from(server)].others;
                others.extend(std::iter::repeat_n(self.now, requests.into()));
            }
            Event::Limit { server, limit } => {
                self.servers[usize::from(server)].limit = limit.into();
            }
        }
    }
}

fn headers() -> impl Strategy<Value = Headers> {
    any::<(bool, bool, bool)>().prop_map(|(limit, remaining, near)| Headers {
        limit,
        remaining,
        near,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_hour_contains_more_requests_than_the_limit(
        events in prop::collection::vec(event(true), 1..120), headers in headers(), seed: u64,
    ) {
        let mut world = World::new(headers, seed);
        events.into_iter().for_each(|event| world.apply(event, true));
    }

    #[test]
    fn the_reported_limit_holds_when_others_send_requests_and_it_changes(
        events in prop::collection::vec(event(false), 1..120), headers in headers(), seed: u64,
    ) {
        let mut world = World::new(headers, seed);
        events.into_iter().for_each(|event| world.apply(event, false));
    }
}

#[test]
fn at_least_97_percent_of_the_limit_can_be_used() {
    let mut world = World::new(Headers::default(), 1);
    for _ in 0..6 * 60 {
        world.work(20);
        world.pass(60, true);
    }
    let possible = 6 * u64::from(LIMIT) * NAMES.len() as u64;
    assert!(
        world.sent * 100 >= possible * 97,
        "{} of {possible}",
        world.sent
    );
}
