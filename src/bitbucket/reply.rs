//! Reads what Bitbucket says when it does not say yes.
//!
//! The body of a refusal is JSON with an `error` object, JSON with the message at top level, plain text (every 429),
//! an HTML page of something in between, or nothing; `detail` is a text or an object. All of them become a
//! [`Refusal`], and a refusal becomes an error that names the fix.
//!
//! Everything in it comes from outside and may repeat the request: each text is decoded first, then loses the
//! program's credentials, then is made one line.

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::scopes::{none_granted, not_granted};

const LONGEST_MESSAGE: usize = 300;
const MOST_SCOPES: usize = 100;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// One line; empty when the server said nothing.
    pub(crate) message: String,
    /// Those that the credentials lack.
    pub(crate) required_scopes: Vec<String>,
    pub(crate) granted_scopes: Vec<String>,
    /// The address of the page that announced why this is gone.
    pub(crate) announcement: Option<String>,
    /// Of a range of commits: those that the repository does not have.
    pub(crate) unknown_commits: Vec<String>,
    /// Not an API's answer: a proxy's, a login page's.
    pub(crate) html: bool,
}

impl Refusal {
    /// `mask` takes secrets out of a decoded text.
    pub(crate) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        mask: impl Fn(&str) -> String,
    ) -> Self {
        let text = String::from_utf8_lossy(body);
        let html = is_html(headers, body);
        let mut said = match serde_json::from_str::<Value>(&text) {
            Ok(json) => Words::of(&json),
            Err(_) if html => Words::message(title(&text)),
            Err(_) => Words::message(text.into_owned()),
        };
        if status.is_redirection()
            && let Some(to) = headers.get(LOCATION).and_then(|to| to.to_str().ok())
        {
            said.message = format!("redirects to {to}");
        }
        let safe = |text: &str| one_line(&mask(text));
        let each = |texts: Vec<String>| -> Vec<String> {
            let texts = texts.iter().take(MOST_SCOPES);
            texts.map(|text| safe(text)).collect()
        };
        let granted = match said.granted.is_empty() {
            true => granted_scopes(headers, &mask),
            false => each(said.granted),
        };
        let required_scopes = match said.required.is_empty() {
            true => none_granted(each(scopes(headers, "x-accepted-oauth-scopes")), &granted),
            false => not_granted(each(said.required), &granted),
        };
        let announcement = said.announcement.filter(|text| {
            Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        });
        Self {
            status,
            message: safe(&said.message),
            required_scopes,
            granted_scopes: granted,
            announcement: announcement.map(|text| safe(&text)),
            unknown_commits: said.unknown_commits,
            html,
        }
    }

    pub(crate) fn mentions(&self, word: &str) -> bool {
        self.message.to_ascii_lowercase().contains(word)
    }

    /// The API does not know this path at all, which says nothing about the repository.
    pub(crate) fn is_wrong_path(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.mentions("no api hosted at this url")
    }
}

/// A refusal's words as they came.
#[derive(Default)]
struct Words {
    message: String,
    required: Vec<String>,
    granted: Vec<String>,
    announcement: Option<String>,
    unknown_commits: Vec<String>,
}

impl Words {
    fn message(message: String) -> Self {
        Self {
            message,
            ..Self::default()
        }
    }

    fn of(json: &Value) -> Self {
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
        // OAuth says `{"error": "invalid_client", "error_description": "…"}`.
        parts.extend(text(json.get("error")));
        parts.extend(text(json.get("error_description")));
        parts.extend(text(error.get("message")));
        parts.extend(text(error.get("detail")));
        if let Some(Value::Object(fields)) = error.get("fields") {
            parts.extend(fields.iter().map(|(field, what)| {
                let what = what.get(0).unwrap_or(what);
                format!("{field}: {}", what.as_str().unwrap_or_default())
            }));
        }
        parts.extend(text(error.get("id")).map(|id| format!("id {id}")));
        let mut unknown_commits = texts("/data/shas");
        unknown_commits.retain(|sha| sha.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Self {
            message: parts.join(": "),
            required: texts("/detail/required"),
            granted: texts("/detail/granted"),
            announcement: text(error.pointer("/data/announcement_url"))
                .or_else(|| text(json.pointer("/data/announcement_url"))),
            unknown_commits,
        }
    }
}

/// The scopes of the token that a request carried, as every reply says.
pub(crate) fn granted_scopes(headers: &HeaderMap, mask: impl Fn(&str) -> String) -> Vec<String> {
    let granted = scopes(headers, "x-oauth-scopes");
    let granted = granted.iter().take(MOST_SCOPES);
    granted.map(|scope| one_line(&mask(scope))).collect()
}

/// `true` for a page made for people: never an answer of the API.
pub(crate) fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let declared = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    let json = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match json {
        Some(b'<') => true,
        Some(b'{' | b'[') => false,
        _ => declared,
    }
}

fn scopes(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(|list| {
            list.split([',', ' '])
                .map(str::trim)
                .filter(|s| !s.is_empty())
        })
        .map(|list| list.map(str::to_owned).collect())
        .unwrap_or_default()
}

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
    match line.char_indices().nth(LONGEST_MESSAGE) {
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
    fn a_refusal_without_a_body_names_a_scope_only_where_both_headers_speak_of_it() {
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
    fn what_was_escaped_is_masked_after_it_was_decoded() {
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
    fn an_announcement_is_an_address() {
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
    fn text_html_and_nothing_are_read() {
        assert_eq!(read(404, "text/plain", "Not Found").message, "Not Found");
        let page = read(
            503,
            "text/html; charset=utf-8",
            "<html><title>Sign in\n</title>",
        );
        assert_eq!(
            (page.html, page.message.as_str()),
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
