//! Never more than the budget in any 60 minutes: whatever workers, restarts, refusals and others do, by a clock that
//! only the test moves, against servers that count in true rolling windows.

use std::collections::BTreeMap;

use super::super::budgets::{Choice, choose};
use super::super::rate_limiter::{InFlight, RateLimiter, Wait};
use super::super::retry::RateLimitHeaders;
use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

const USUAL: u32 = 60;
const NAMES: [&str; 3] = ["one", "two", "three"];

#[derive(Debug, Clone)]
enum Event {
    /// So many workers want to send.
    Work(u8),
    Pass {
        seconds: u16,
    },
    /// The process is killed and starts again at once.
    Kill,
    /// It ends in order and starts again.
    End,
    /// A server answers 429 whatever comes, and asks for this wait, if for any.
    Storm {
        server: u8,
        minutes: u8,
        asks: Option<u16>,
    },
    /// Others spend the same budget.
    Others {
        server: u8,
        requests: u8,
    },
    Limit {
        server: u8,
        limit: u8,
    },
}

fn event(alone: bool) -> impl Strategy<Value = Event> {
    let server = 0..NAMES.len() as u8;
    let usual = prop_oneof![
        8 => (1..20u8).prop_map(Event::Work),
        6 => (1..1200u16).prop_map(|seconds| Event::Pass { seconds }),
        1 => Just(Event::Kill),
        1 => Just(Event::End),
        1 => (server.clone(), 1..60u8, prop::option::of(0..900u16))
            .prop_map(|(server, minutes, asks)| Event::Storm { server, minutes, asks }),
    ];
    let others = prop_oneof![
        (server.clone(), 1..60u8).prop_map(|(server, requests)| Event::Others { server, requests }),
        (server, 10..200u8).prop_map(|(server, limit)| Event::Limit { server, limit }),
    ];
    match alone {
        true => usual.boxed(),
        false => prop_oneof![9 => usual, 1 => others].boxed(),
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Headers {
    limit: bool,
    remaining: bool,
    near: bool,
}

struct Server {
    headers: Headers,
    limit: u32,
    ours: Vec<DateTime<Utc>>,
    others: Vec<DateTime<Utc>>,
    storm: Option<(DateTime<Utc>, Option<u16>)>,
    /// What its client knows: the limit last told, and until when it may not send.
    told: u32,
    forbidden: DateTime<Utc>,
    refused_at: DateTime<Utc>,
}

struct Flight {
    server: usize,
    ticket: InFlight,
    arrives: DateTime<Utc>,
    arrived: bool,
    answer: Option<(bool, RateLimitHeaders)>,
    answers: DateTime<Utc>,
}

struct World {
    now: DateTime<Utc>,
    random: u64,
    servers: Vec<Server>,
    flights: Vec<Flight>,
    paces: BTreeMap<String, RateLimiter>,
    written: BTreeMap<String, BudgetRecord>,
    sent: u64,
}

fn within_the_hour(times: &[DateTime<Utc>], now: DateTime<Utc>) -> u32 {
    let recent = times.iter().filter(|at| now - **at < TimeDelta::hours(1));
    recent.count() as u32
}

impl World {
    fn new(headers: Headers, seed: u64) -> Self {
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        let server = |_| Server {
            headers,
            limit: USUAL,
            ours: Vec::new(),
            others: Vec::new(),
            storm: None,
            told: USUAL,
            forbidden: now,
            refused_at: now,
        };
        let mut world = Self {
            now,
            random: seed | 1,
            servers: NAMES.iter().map(server).collect(),
            flights: Vec::new(),
            paces: BTreeMap::new(),
            written: BTreeMap::new(),
            sent: 0,
        };
        world.start();
        world
    }

    fn below(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % most
    }

    fn start(&mut self) {
        let limits = Limits {
            rate_limit_retries: usize::MAX,
            rate_limit_longest_total_wait: Duration::from_secs(1 << 30),
            ..Limits::default()
        };
        for (server, name) in NAMES.iter().enumerate() {
            let mut pace = RateLimiter::new(None, USUAL, &limits, self.below(u64::MAX));
            let spent = self.written.get(*name).cloned();
            let told = spent.as_ref().and_then(|spent| spent.limit);
            self.servers[server].told = told.unwrap_or(USUAL);
            pace.remember(spent, self.now, self.now);
            self.paces.insert((*name).to_owned(), pace);
        }
    }

    fn write(&mut self, name: &str, block: u32) {
        let pace = self.paces.get_mut(name).unwrap();
        let spent = pace.spent(block, self.now, self.now);
        self.written.insert(name.to_owned(), spent);
        pace.book(block);
    }

    fn work(&mut self, workers: u8) {
        for _ in 0..workers {
            loop {
                match choose(&mut self.paces, &NAMES, self.now, true) {
                    Choice::Read(name) => panic!("{name} is known"),
                    Choice::Book(name) => {
                        let block = self.paces[&name].block();
                        self.write(&name, block);
                    }
                    Choice::Wait(wait) => {
                        assert_ne!(wait, Wait::Never);
                        if let Wait::Until(until) = wait {
                            assert!(until > self.now, "a wait that is none");
                        }
                        return;
                    }
                    Choice::Go(name, ticket) => {
                        self.send(&name, ticket);
                        break;
                    }
                }
            }
        }
    }

    fn send(&mut self, name: &str, ticket: InFlight) {
        let n = NAMES.iter().position(|known| *known == name).unwrap();
        let way = TimeDelta::milliseconds(1 + self.below(20_000) as i64);
        let back = TimeDelta::milliseconds(1 + self.below(20_000) as i64);
        let server = &self.servers[n];
        assert!(
            self.now >= server.forbidden,
            "sent between a 429 and the end of its wait"
        );
        let waiting = self
            .flights
            .iter()
            .filter(|it| it.server == n && !it.arrived)
            .count();
        let own = within_the_hour(&server.ours, self.now) + waiting as u32;
        assert!(
            own < server.told,
            "{own} within the hour, told {}",
            server.told
        );
        self.sent += 1;
        self.flights.push(Flight {
            server: n,
            ticket,
            arrives: self.now + way,
            arrived: false,
            answer: None,
            answers: self.now + way + back,
        });
    }

    fn arrive(&mut self, flight: usize, alone: bool) {
        let flight = &mut self.flights[flight];
        flight.arrived = true;
        let (now, server) = (flight.arrives, &mut self.servers[flight.server]);
        server.ours.push(now);
        let own = within_the_hour(&server.ours, now);
        let used = own + within_the_hour(&server.others, now);
        assert!(
            !alone || own <= server.limit,
            "{own} arrived within an hour"
        );
        let storm = server.storm.filter(|(until, _)| now < *until);
        let left = server.limit.saturating_sub(used);
        let Headers {
            limit,
            remaining,
            near,
        } = server.headers;
        let said = RateLimitHeaders {
            limit: limit.then_some(server.limit),
            remaining: remaining.then_some(left),
            reset: None,
            near_limit: near.then_some(left < server.limit / 5),
            wait: storm
                .and_then(|(_, asks)| asks)
                .map(|asks| TimeDelta::seconds(asks.into())),
        };
        flight.answer = Some((storm.is_some() || used > server.limit, said));
    }

    fn answer(&mut self, flight: Flight) {
        let name = NAMES[flight.server];
        let (now, server) = (flight.answers, &mut self.servers[flight.server]);
        let (refused, said) = flight.answer.unwrap();
        server.told = said.limit.unwrap_or(server.told);
        let pace = self.paces.get_mut(name).unwrap();
        if !refused {
            return pace.answered(flight.ticket, now, &said);
        }
        // Without being asked to wait, the first refusal of a storm makes everybody wait all the same.
        let first = flight.ticket.alone || flight.ticket.at >= server.refused_at;
        let least = if first {
            TimeDelta::seconds(5)
        } else {
            TimeDelta::zero()
        };
        let asked = said.wait.filter(|wait| *wait > TimeDelta::zero());
        let wait = asked.unwrap_or(least);
        server.forbidden = server.forbidden.max(now + wait);
        if wait > TimeDelta::zero() {
            server.refused_at = now;
        }
        pace.refused(flight.ticket, now, &said);
        self.write(name, 0);
    }

    fn pass(&mut self, seconds: u16, alone: bool) {
        let end = self.now + TimeDelta::seconds(seconds.into());
        loop {
            let next = self
                .flights
                .iter()
                .enumerate()
                .map(|(n, flight)| match flight.arrived {
                    false => (flight.arrives, n),
                    true => (flight.answers, n),
                });
            let Some((at, n)) = next.min().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = at;
            if !self.flights[n].arrived {
                self.arrive(n, alone);
            } else {
                let flight = self.flights.remove(n);
                self.answer(flight);
                // Whoever waited for this asks again.
                self.work(2);
            }
        }
        self.now = end;
    }

    /// What is on its way arrives, and nobody is there for the answer.
    fn kill(&mut self, alone: bool) {
        for n in 0..self.flights.len() {
            if !self.flights[n].arrived {
                self.flights[n].arrives = self.now;
                self.arrive(n, alone);
            }
        }
        self.flights.clear();
    }

    fn end(&mut self, alone: bool) {
        let tickets: Vec<_> = self
            .flights
            .iter()
            .map(|it| (it.server, it.ticket))
            .collect();
        self.kill(alone);
        for (server, ticket) in tickets {
            let pace = self.paces.get_mut(NAMES[server]).unwrap();
            pace.lost(ticket, self.now);
        }
        for name in NAMES {
            self.paces.get_mut(name).unwrap().close_book();
            self.write(name, 0);
        }
    }

    fn happen(&mut self, event: Event, alone: bool) {
        match event {
            Event::Work(workers) => self.work(workers),
            Event::Pass { seconds } => self.pass(seconds, alone),
            Event::Kill => {
                self.kill(alone);
                self.start();
            }
            Event::End => {
                self.end(alone);
                self.start();
            }
            Event::Storm {
                server,
                minutes,
                asks,
            } => {
                let until = self.now + TimeDelta::minutes(minutes.into());
                self.servers[usize::from(server)].storm = Some((until, asks));
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
    fn no_hour_holds_more_than_the_budget(
        events in prop::collection::vec(event(true), 1..120), headers in headers(), seed: u64,
    ) {
        let mut world = World::new(headers, seed);
        events.into_iter().for_each(|event| world.happen(event, true));
    }

    #[test]
    fn not_even_beside_others_or_when_the_limit_changes(
        events in prop::collection::vec(event(false), 1..120), headers in headers(), seed: u64,
    ) {
        let mut world = World::new(headers, seed);
        events.into_iter().for_each(|event| world.happen(event, false));
    }
}

#[test]
fn the_budget_is_used_and_not_only_kept() {
    let mut world = World::new(Headers::default(), 1);
    for _ in 0..6 * 60 {
        world.work(20);
        world.pass(60, true);
    }
    let possible = 6 * u64::from(USUAL) * NAMES.len() as u64;
    assert!(
        world.sent * 100 >= possible * 97,
        "{} of {possible}",
        world.sent
    );
}
