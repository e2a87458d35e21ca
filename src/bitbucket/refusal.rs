//! The parsed form of a response that is not a success.
//!
//! The body of such a response is JSON with an `error` object, JSON with the message at top level, plain text (every
//! 429), an HTML page of a proxy, or empty; `detail` is a string or an object. All of them are parsed into a
//! [`Refusal`].
//!
//! Every text of a response is untrusted and may repeat the request: it is decoded first, then the credentials are
//! masked, then it is reduced to one line.

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::scope_names::{missing_accepted, missing_required};
use super::server_messages::ServerMessage;

/// Characters of a message that are kept.
const MAX_MESSAGE_CHARS: usize = 300;
/// Scopes of one list that are kept.
const MAX_SCOPES: usize = 100;

/// A response that is not a success.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The sentences of the body in one line; empty when it has none.
    pub(crate) message: String,
    /// What the body means, where that changes what the client does.
    pub(crate) meaning: ServerMessage,
    /// The scopes that the credentials lack, where the response names them.
    pub(crate) required_scopes: Vec<String>,
    /// The scopes of the credentials, where the response names them.
    pub(crate) granted_scopes: Vec<String>,
    /// The URL of the page that announced the removal of the endpoint.
    pub(crate) announcement: Option<String>,
    /// Commits of the requested range that the repository does not have.
    pub(crate) unknown_commits: Vec<String>,
    /// Whether the body is an HTML page, which the API never sends.
    pub(crate) is_html: bool,
}

impl Refusal {
    /// Parse a response. `mask` removes secrets from a decoded text.
    pub(crate) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        mask: impl Fn(&str) -> String,
    ) -> Self {
        let text = String::from_utf8_lossy(body);
        let is_html = is_html(headers, body);
        let mut error = match serde_json::from_str::<Value>(&text) {
            Ok(json) => ErrorBody::parse(&json),
            Err(_) if is_html => ErrorBody::from_message(title(&text)),
            Err(_) => ErrorBody::from_message(text.into_owned()),
        };
        if status.is_redirection()
            && let Some(to) = headers.get(LOCATION).and_then(|to| to.to_str().ok())
        {
            error.message = format!("redirects to {to}");
        }
        let sanitize = |text: &str| one_line(&mask(text));
        let sanitize_all = |texts: Vec<String>| -> Vec<String> {
            let texts = texts.iter().take(MAX_SCOPES);
            texts.map(|text| sanitize(text)).collect()
        };
        let granted_scopes = if error.granted.is_empty() {
            granted_scopes(headers, &mask)
        } else {
            sanitize_all(error.granted)
        };
        let required_scopes = if error.required.is_empty() {
            let accepted = sanitize_all(scopes(headers, "x-accepted-oauth-scopes"));
            missing_accepted(&accepted, &granted_scopes)
        } else {
            missing_required(&sanitize_all(error.required), &granted_scopes)
        };
        let announcement = error.announcement.filter(|text| {
            Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        });
        let message = sanitize(&error.message);
        let key = error.key.as_deref();
        Self {
            status,
            meaning: ServerMessage::classify(status, key, &error.parameters, &message),
            message,
            required_scopes,
            granted_scopes,
            announcement: announcement.map(|text| sanitize(&text)),
            unknown_commits: error.unknown_commits,
            is_html,
        }
    }
}

/// The parts of an error body, as received.
#[derive(Default)]
struct ErrorBody {
    message: String,
    key: Option<String>,
    /// The keys of `fields`.
    parameters: Vec<String>,
    required: Vec<String>,
    granted: Vec<String>,
    announcement: Option<String>,
    unknown_commits: Vec<String>,
}

impl ErrorBody {
    fn from_message(message: String) -> Self {
        Self {
            message,
            ..Self::default()
        }
    }

    fn parse(json: &Value) -> Self {
        let error = match json.get("error") {
            Some(error @ Value::Object(_)) => error,
            _ => json,
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let texts = |pointer: &str| -> Vec<String> {
            let values = error.pointer(pointer).and_then(Value::as_array);
            let texts = values.into_iter().flatten().map(|it| text(Some(it)));
            texts.flatten().collect()
        };
        let mut parts: Vec<String> = Vec::new();
        // An OAuth error is `{"error": "invalid_client", "error_description": "…"}`.
        parts.extend(text(json.get("error")));
        parts.extend(text(json.get("error_description")));
        parts.extend(text(error.get("message")));
        parts.extend(text(error.get("detail")));
        let mut parameters = Vec::new();
        if let Some(Value::Object(fields)) = error.get("fields") {
            parts.extend(fields.iter().map(|(field, problem)| {
                let problem = problem.get(0).unwrap_or(problem);
                format!("{field}: {}", problem.as_str().unwrap_or_default())
            }));
            parameters.extend(fields.keys().cloned());
        }
        parts.extend(text(error.get("id")).map(|id| format!("id {id}")));
        let mut unknown_commits = texts("/data/shas");
        unknown_commits.retain(|sha| sha.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Self {
            message: parts.join(": "),
            key: text(error.pointer("/data/key")),
            parameters,
            required: texts("/detail/required"),
            granted: texts("/detail/granted"),
            announcement: text(error.pointer("/data/announcement_url"))
                .or_else(|| text(json.pointer("/data/announcement_url"))),
            unknown_commits,
        }
    }
}

/// Return the scopes of the token, which the headers of every response list.
pub(crate) fn granted_scopes(headers: &HeaderMap, mask: impl Fn(&str) -> String) -> Vec<String> {
    let granted = scopes(headers, "x-oauth-scopes");
    let granted = granted.iter().take(MAX_SCOPES);
    granted.map(|scope| one_line(&mask(scope))).collect()
}

/// Whether a response is an HTML page, which the API never sends.
pub(crate) fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let is_declared = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'<') => true,
        Some(b'{' | b'[') => false,
        _ => is_declared,
    }
}

/// Return the names in a comma-separated header.
fn scopes(headers: &HeaderMap, name: &str) -> Vec<String> {
    let list = headers.get(name).and_then(|value| value.to_str().ok());
    list.unwrap_or_default()
        .split([',', ' '])
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Return a description of an HTML page by its title.
fn title(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let inner = lower
        .find("<title")
        .and_then(|tag| lower.get(tag..)?.find('>').map(|close| tag + close + 1))
        .and_then(|from| Some(from..from + lower.get(from..)?.find('<')?))
        .and_then(|range| html.get(range));
    match inner {
        Some(title) => format!("an HTML page \"{}\"", title.trim()),
        None => "an HTML page".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    let line = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn read(status: u16, kind: &'static str, body: &str) -> Refusal {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        Refusal::read(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
            str::to_owned,
        )
    }

    #[test]
    fn an_error_object_with_detail_text_and_fields_is_read() {
        let refusal = read(
            400,
            "application/json",
            r#"{"type":"error","error":{"message":"Bad request","detail":"Invalid sort attribute","fields":{"q":["no such field"]}}}"#,
        );
        assert_eq!(
            refusal.message,
            "Bad request: Invalid sort attribute: q: no such field"
        );
    }

    #[test]
    fn missing_scopes_come_from_the_detail_object() {
        let refusal = read(
            403,
            "application/json",
            r#"{"type":"error","error":{"message":"Your credentials lack one or more required privilege scopes.","detail":{"required":["read:pipeline:bitbucket"],"granted":["read:user:bitbucket"]}}}"#,
        );
        assert_eq!(refusal.required_scopes, ["read:pipeline:bitbucket"]);
        assert_eq!(refusal.granted_scopes, ["read:user:bitbucket"]);
    }

    #[test]
    fn a_refusal_without_a_body_names_a_scope_only_when_both_headers_are_present() {
        let read = |accepted: &'static str, granted: &'static str| {
            let headers = HeaderMap::from_iter(
                [
                    ("x-accepted-oauth-scopes", accepted),
                    ("x-oauth-scopes", granted),
                ]
                .map(|(name, value)| {
                    (
                        name.parse::<reqwest::header::HeaderName>().unwrap(),
                        HeaderValue::from_static(value),
                    )
                }),
            );
            let status = StatusCode::FORBIDDEN;
            Refusal::read(status, &headers, b"Forbidden", str::to_owned).required_scopes
        };
        let modern = "read:repository:bitbucket, read:pipeline:bitbucket";
        assert!(read("pipeline", modern).is_empty());
        assert_eq!(read("issue", modern), ["read:issue:bitbucket"]);
        assert!(read("pipeline", "pipeline:write").is_empty());
        assert!(read("a-new-one", modern).is_empty());
    }

    #[test]
    fn escaped_secrets_are_masked_after_decoding() {
        let mask = |text: &str| text.replace("to/ken", "***");
        let body = r#"{"error": {"message": "no to\/ken", "detail": {"required": ["\u0074o/ken"], "granted": ["to\u002fken"]},
            "fields": {"\u0074o/ken": ["to\/ken"]}, "id": "to\/ken",
            "data": {"announcement_url": "https://x.example/to\/ken", "shas": ["to\/ken"]}}}"#;
        let refusal = Refusal::read(StatusCode::GONE, &HeaderMap::new(), body.as_bytes(), mask);
        let shown = format!("{refusal:?}");
        assert!(!shown.contains("ken\""), "{shown}");
        assert_eq!(refusal.message, "no ***: ***: ***: id ***");
        assert_eq!(
            refusal.announcement.as_deref(),
            Some("https://x.example/***")
        );
    }

    #[test]
    fn an_announcement_is_an_http_url() {
        let body = r#"{"message": "gone", "data": {"announcement_url": "javascript:alert(1)"}}"#;
        assert_eq!(read(410, "application/json", body).announcement, None);
    }

    #[test]
    fn a_message_at_top_level_and_an_announcement_are_read() {
        let refusal = read(
            410,
            "application/json",
            r#"{"message":"CHANGE-3071 - gone","data":{"announcement_url":"https://x.example/3071"}}"#,
        );
        assert_eq!(refusal.message, "CHANGE-3071 - gone");
        assert_eq!(
            refusal.announcement.as_deref(),
            Some("https://x.example/3071")
        );
    }

    #[test]
    fn text_html_and_an_empty_body_are_read() {
        assert_eq!(read(404, "text/plain", "Not Found").message, "Not Found");
        let page = read(
            503,
            "text/html; charset=utf-8",
            "<html><title>Sign in\n</title>",
        );
        assert_eq!(
            (page.is_html, page.message.as_str()),
            (true, "an HTML page \"Sign in\"")
        );
        assert_eq!(read(500, "application/json", "").message, "");
    }

    #[test]
    fn an_oauth_refusal_is_read() {
        let body = r#"{"error":"invalid_client","error_description":"No such client"}"#;
        assert_eq!(
            read(401, "application/json", body).message,
            "invalid_client: No such client"
        );
    }
}
