//! Parts of the sandbox that only tests and benchmarks use; the feature `testing` compiles them.
//!
//! ```text
//! faults          replace, delay, alter or interrupt single replies
//! meter           enforce an hourly budget, as Bitbucket does
//! git             serve repositories by git over HTTP
//! synthetic       make the records of a large workspace as they are requested
//! known_replies   send a reply again instead of making it
//! ```
//!
//! [`respond`] wraps the handling of an API request with all of them.

mod connection;
mod faults;
mod git;
mod huge;
mod known_replies;
mod meter;
mod respond;
mod sandbox;
mod synthetic;

use std::path::PathBuf;
use std::sync::Mutex;

pub(crate) use connection::{BreakableListener, ConnectionHandle};
pub use faults::{Fault, Interruption, RandomFaults};
pub(crate) use respond::{request_name, respond};
pub use synthetic::{Day, ListSizes, SyntheticWorkspace, Variety};

use faults::Faults;
use known_replies::KnownReplies;
use meter::Meter;
use synthetic::SyntheticServer;

/// What the server does besides answering from fixtures.
#[derive(Default)]
pub(crate) struct TestingState {
    faults: Mutex<Faults>,
    meter: Meter,
    known_replies: KnownReplies,
    /// Serve these records instead of the fixtures.
    pub synthetic: Option<SyntheticServer>,
    /// The folder of `<workspace>/<repository>.git` to serve by git.
    pub git: Option<PathBuf>,
}

impl TestingState {
    /// Take the settings of a builder; its faults precede those of the fixtures.
    pub(crate) fn new(settings: TestingSettings, fixture_faults: Vec<Fault>) -> Self {
        let mut faults = settings.faults;
        faults.extend(fixture_faults);
        Self {
            faults: Mutex::new(Faults::new(faults)),
            meter: Meter::default(),
            known_replies: KnownReplies::new(settings.remember_replies),
            synthetic: settings.synthetic.map(SyntheticServer::new),
            git: settings.git,
        }
    }
}

/// What a [`Builder`] was asked for.
#[derive(Default)]
pub(crate) struct TestingSettings {
    pub faults: Vec<Fault>,
    pub synthetic: Option<SyntheticWorkspace>,
    pub git: Option<PathBuf>,
    pub remember_replies: bool,
}
