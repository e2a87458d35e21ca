//! Lists and records that the server refuses for good.

use reqwest::StatusCode;

use super::endpoints::Endpoint;
use super::failures::removal_hint;
use super::refusal::Refusal;
use super::server_messages::ServerMessage;

/// Why a list or a record cannot be read: the first request was refused with a status that the endpoint defines as
/// unavailable. It is a property of the repository or of the credentials, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// The status of the refusal.
    pub status: StatusCode,
    /// The reason for users. It is published in `config.completeness`.
    pub reason: String,
    /// Commits of the requested range that the repository does not have.
    pub unknown_commits: Vec<String>,
    /// The scopes that the token lacks, where the refusal names them.
    pub required_scopes: Vec<String>,
    /// The scopes of the token, where the refusal names them.
    pub granted_scopes: Vec<String>,
}

impl Unavailable {
    /// Create a reason without commits and scopes.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            unknown_commits: Vec::new(),
            required_scopes: Vec::new(),
            granted_scopes: Vec::new(),
        }
    }

    /// Return why the endpoint is unavailable; `None` when the refusal is an error.
    pub(super) fn from_refusal(
        endpoint: &Endpoint,
        refusal: &Refusal,
        is_anonymous: bool,
    ) -> Option<Self> {
        let status = refusal.status;
        let is_no_api = refusal.meaning == ServerMessage::NoApiAtPath;
        if refusal.is_html || is_no_api || endpoint.unavailable.is_empty() {
            return None;
        }
        if status == StatusCode::UNAUTHORIZED && is_anonymous {
            return Some(Self::new(status, "not readable without credentials (401)"));
        }
        let mut reasons = endpoint.unavailable.iter();
        let (_, meaning) = reasons.find(|(listed, _)| *listed == status)?;
        let code = status.as_u16();
        let answer = match refusal.message.as_str() {
            "" => format!("{meaning} ({code})"),
            message => format!("{meaning} ({code} {message})"),
        };
        let reason = match (status, refusal.required_scopes.as_slice()) {
            (StatusCode::GONE, _) => format!("{answer}: {}", removal_hint(endpoint, refusal)),
            (StatusCode::FORBIDDEN, required @ [_, ..]) => {
                format!("the token lacks scope {} (403)", required.join(" and "))
            }
            _ => answer,
        };
        Some(Self {
            unknown_commits: refusal.unknown_commits.clone(),
            required_scopes: refusal.required_scopes.clone(),
            granted_scopes: refusal.granted_scopes.clone(),
            ..Self::new(status, reason)
        })
    }
}
