//! Classifies errors of the HTTP library by the part of the network path that failed.

use std::error::Error as StdError;
use std::io;

use crate::error::NetworkFailure;

/// Return the part of the network path that failed; `None` if the error does not tell.
pub(super) fn classify(error: &reqwest::Error) -> Option<NetworkFailure> {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        if is_certificate_error(error) {
            return Some(NetworkFailure::Certificate);
        }
        if let Some(failure) = classify_tunnel_error(error) {
            return Some(failure);
        }
        cause = error.source();
    }
    None
}

/// Return whether `error` is, or wraps in an I/O error, a certificate that rustls rejects.
fn is_certificate_error(error: &(dyn StdError + 'static)) -> bool {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let error = inner.or_else(|| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

/// Classify an error of hyper-util's CONNECT tunnel. Its type is private, so that only its two constant texts tell the
/// causes apart; `tests/it/check.rs` holds them against the library.
fn classify_tunnel_error(error: &(dyn StdError + 'static)) -> Option<NetworkFailure> {
    match error.to_string().as_str() {
        "tunnel error: proxy authorization required" => Some(NetworkFailure::ProxyAuthentication),
        "tunnel error: unsuccessful" => Some(NetworkFailure::ProxyRefusal),
        _ => None,
    }
}
