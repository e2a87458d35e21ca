//! Requests for one record.

use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::client::Client;
use super::endpoints::Endpoint;
use super::request::{ApiAnswer, ApiTarget, EndpointRequest, Fallback};
use super::unavailable::Unavailable;
use crate::error::Result;
use crate::json;

/// The result of a request for one record.
#[derive(Debug)]
pub enum RecordLookup {
    /// The record exists.
    Found {
        /// The record as received.
        value: Box<RawValue>,
        /// The `Date` header of the response.
        date: Option<DateTime<Utc>>,
    },
    /// The server refuses the record for good.
    Unavailable(Unavailable),
}

impl Client {
    /// Fetch one record.
    ///
    /// # Errors
    /// Refusals that do not make the record unavailable, an unreachable host, a used-up quota, a response that is not a
    /// JSON object.
    pub async fn get(
        &self,
        endpoint: &'static Endpoint,
        target: &ApiTarget,
    ) -> Result<RecordLookup> {
        let request = EndpointRequest {
            endpoint,
            target,
            url: self.url(endpoint, target)?,
            attempts: &AtomicU64::new(0),
            fallback: Fallback::None,
            retries_before_fallback: 0,
            form: &[],
        };
        match self.fetch(&request, parse_object).await? {
            ApiAnswer::Value { value, date } => Ok(RecordLookup::Found { value, date }),
            ApiAnswer::Refused { refusal, identity } => {
                match Unavailable::from_refusal(endpoint, &refusal, self.is_anonymous()) {
                    Some(unavailable) => Ok(RecordLookup::Unavailable(unavailable)),
                    None => Err(self.refused(&request, &refusal, identity)),
                }
            }
        }
    }
}

fn parse_object(body: &[u8]) -> Result<Box<RawValue>, serde_json::Error> {
    let value: Box<RawValue> = json::from_body(body)?;
    if value.get().starts_with('{') {
        Ok(value)
    } else {
        Err(serde::de::Error::custom("expected an object"))
    }
}
