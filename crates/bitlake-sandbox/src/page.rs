//! Paging in each of the API's four styles.
//!
//! | style | lists | `next` | `size`, `page` |
//! |---|---|---|---|
//! | numbered | most | the request with the next number | yes |
//! | service | pipelines, steps, deployments, environments | only `page` and `pagelen`; every other parameter is dropped | yes |
//! | opaque | commits | the request with a token | no |
//! | context | activity | the request with a `ctx` token | no |

use serde_json::{Value, json};

use crate::call::Call;
use crate::errors::{self, SandboxReply, Service};
use crate::fields::{self, Hidden};
use crate::lock::lock;
use crate::state::Parameters;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PagingStyle {
    Numbered,
    Service,
    Opaque,
    Context,
}

/// The properties of one endpoint's list.
pub(crate) struct Listing {
    /// The largest `pagelen`; a larger one is refused, not clamped.
    pub cap: usize,
    pub style: PagingStyle,
    pub hidden: &'static [Hidden],
}

const DEFAULT_PAGELEN: usize = 10;

pub(crate) fn answer(
    call: &Call,
    listing: &Listing,
    records: &[&Value],
) -> Result<Value, SandboxReply> {
    let record = |n: usize| {
        records
            .get(n)
            .map_or(Value::Null, |record| (*record).clone())
    };
    made(call, listing, records.len(), record)
}

/// Answer with one page of `total` records, calling `record` only for those on it.
pub(crate) fn made(
    call: &Call,
    listing: &Listing,
    total: usize,
    record: impl Fn(usize) -> Value,
) -> Result<Value, SandboxReply> {
    let service = match listing.style {
        PagingStyle::Service => Service::Pipelines,
        _ => Service::Core,
    };
    let pagelen = match call.first("pagelen") {
        None => DEFAULT_PAGELEN,
        Some(text) => text
            .parse()
            .ok()
            .filter(|pagelen| (1..=listing.cap).contains(pagelen))
            .ok_or_else(|| errors::invalid_pagelen(service))?,
    };
    let salt = salt(call.url.path());
    let (page, offset) = match listing.style {
        PagingStyle::Numbered | PagingStyle::Service => {
            let page = match call.first("page") {
                None => 1,
                Some(text) => text
                    .parse()
                    .ok()
                    .filter(|page| *page > 0)
                    .ok_or_else(|| errors::invalid_page(service))?,
            };
            (page, (page - 1usize).saturating_mul(pagelen))
        }
        PagingStyle::Opaque => (0, offset(call.first("page"), salt, service)?),
        PagingStyle::Context => (0, offset(call.first("ctx"), salt, service)?),
    };
    let offset = offset.saturating_sub(call.shift);
    let values: Vec<Value> = (offset..total).take(pagelen).map(record).collect();
    let end = offset.saturating_add(values.len());
    let more = end < total && !values.is_empty();
    let mut document = json!({"values": values, "pagelen": pagelen});
    let mut put = |key: &str, value: Value| {
        if let Value::Object(object) = &mut document {
            object.insert(key.into(), value);
        }
    };
    match listing.style {
        PagingStyle::Numbered => {
            put("size", (total + call.shift).into());
            put("page", page.into());
            if more {
                put(
                    "next",
                    link(call, "page", &page.saturating_add(1).to_string()),
                );
            }
            if page > 1 {
                put("previous", link(call, "page", &(page - 1).to_string()));
            }
        }
        PagingStyle::Service => {
            put("size", (total + call.shift).into());
            put("page", page.into());
            if more {
                let kept = [("page", page.saturating_add(1)), ("pagelen", pagelen)];
                put("next", bare_link(call, &kept));
            }
        }
        PagingStyle::Opaque if more => put("next", link(call, "page", &token(end, salt))),
        PagingStyle::Context if more => put("next", link(call, "ctx", &token(end, salt))),
        PagingStyle::Opaque | PagingStyle::Context => {}
    }
    Ok(fields::apply(
        &document,
        call.first("fields"),
        &["values"],
        listing.hidden,
    ))
}

/// Repeat the request's address with one parameter replaced.
fn link(call: &Call, name: &str, value: &str) -> Value {
    let mut url = call.url.clone();
    let kept: Parameters = url
        .query_pairs()
        .into_owned()
        .filter(|(key, _)| key != name && key != "form")
        .collect();
    let mut pairs = url.query_pairs_mut();
    pairs.clear().extend_pairs(kept).append_pair(name, value);
    if !call.form.is_empty() {
        // A link cannot contain a posted form, so the server keeps the form.
        let mut forms = lock(&call.state.forms);
        let key = format!("f{}", forms.len());
        forms.insert(key.clone(), call.form.to_vec());
        pairs.append_pair("form", &key);
    } else if let Some(form) = call.first("form") {
        pairs.append_pair("form", form);
    }
    drop(pairs);
    Value::String(url.into())
}

fn bare_link(call: &Call, kept: &[(&str, usize)]) -> Value {
    let mut url = call.url.clone();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept.iter().map(|(key, value)| (key, value.to_string())));
    Value::String(url.into())
}

const MODULUS: usize = 7919;

/// Tie a token to its list, so that a token of one list is not valid for another.
fn salt(path: &str) -> usize {
    path.bytes().fold(17, |salt: usize, byte| {
        (salt * 31 + usize::from(byte)) % MODULUS
    })
}

/// Encode with letters only, so that a page number invented by a client is never a valid token.
fn token(offset: usize, salt: usize) -> String {
    let mut rest = offset.saturating_mul(MODULUS).saturating_add(salt);
    let mut text = String::new();
    while rest > 0 {
        let digit = (rest % 52) as u8;
        text.push(char::from(if digit < 26 {
            b'a' + digit
        } else {
            b'A' + digit - 26
        }));
        rest /= 52;
    }
    text
}

fn offset(token: Option<&str>, salt: usize, service: Service) -> Result<usize, SandboxReply> {
    let Some(token) = token else {
        return Ok(0);
    };
    let number = token.bytes().rev().try_fold(0usize, |number, letter| {
        let digit = match letter {
            b'a'..=b'z' => letter - b'a',
            b'A'..=b'Z' => letter - b'A' + 26,
            _ => return None,
        };
        number.checked_mul(52)?.checked_add(usize::from(digit))
    });
    match number {
        Some(number) if !token.is_empty() && number % MODULUS == salt => Ok(number / MODULUS),
        _ => Err(errors::invalid_page(service)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_offsets_of_their_own_list_only() {
        for at in [1, 50, 100, 99_999] {
            let token = token(at, salt("/a"));
            assert_eq!(offset(Some(&token), salt("/a"), Service::Core).unwrap(), at);
            assert!(offset(Some(&token), salt("/b"), Service::Core).is_err());
        }
        assert!(offset(Some("1"), salt("/a"), Service::Core).is_err());
        assert!(offset(Some("2"), salt("/a"), Service::Core).is_err());
    }
}
