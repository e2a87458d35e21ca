//! The collectors against the sandbox.

mod discovery;
mod endings;
mod frugal;
mod nights;
mod quirks;
mod whole;

use bitlake::error::{Error, ErrorKind};
use bitlake::lake::ListStatus;
use bitlake_sandbox::{AcceptedCredentials, Fault, Sandbox};
use serde_json::{Value, json};

use super::support::*;
