//! Reads what Bitbucket says when it does not say yes.
//!
//! The body of a refusal is JSON with an `error` object, JSON with the message at top level, plain text (every 429),
//! an HTML page of something in between, or nothing; `detail` is a text or an object. All of them become a
//! [`Refusal`], and a refusal becomes an error that names the fix.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use serde_json::Value;

const LONGEST_MESSAGE: usize = 300;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// One line; empty when the server said nothing.
    pub(crate) message: String,
    /// Those that the credentials lack.
    pub(crate) required_scopes: Vec<String>,
    pub(crate) granted_scopes: Vec<String>,
    pub(crate) announcement: Option<String>,
    /// Of a range of commits: those that the repository does not have.
    pub(crate) unknown_commits: Vec<String>,
    /// Not an API's answer: a proxy's, a login page's.
    pub(crate) html: bool,
}

impl Refusal {
    /// `mask` takes secrets out of a text, because an error page may repeat the request.
    pub(crate) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        mask: impl Fn(&str) -> String,
    ) -> Self {
        let granted_scopes = scopes(headers, "x-oauth-scopes");
        // They come with every answer: they say something only where none of them was granted.
        let mut required_scopes = scopes(headers, "x-accepted-oauth-scopes");
        if granted_scopes.is_empty() || required_scopes.iter().any(|it| granted_scopes.contains(it))
        {
            required_scopes.clear();
        }
        let mut refusal = Self {
            status,
            message: String::new(),
            required_scopes,
            granted_scopes,
            announcement: None,
            unknown_commits: Vec::new(),
            html: is_html(headers, body),
        };
        let text = mask(&String::from_utf8_lossy(body));
        refusal.message = match serde_json::from_str::<Value>(&text) {
            Ok(json) => refusal.take_json(&json),
            Err(_) if refusal.html => title(&text),
            Err(_) => text,
        };
        if status.is_redirection()
            && let Some(to) = headers.get(LOCATION).and_then(|to| to.to_str().ok())
        {
            refusal.message = format!("redirects to {}", mask(to));
        }
        refusal.message = one_line(&refusal.message);
        refusal
    }

    fn take_json(&mut self, json: &Value) -> String {
        let error = match json.get("error") {
            Some(error @ Value::Object(_)) => error,
            _ => json,
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let mut parts: Vec<String> = Vec::new();
        // OAuth says `{"error": "invalid_client", "error_description": "…"}`.
        parts.extend(text(json.get("error")));
        parts.extend(text(json.get("error_description")));
        parts.extend(text(error.get("message")));
        match error.get("detail") {
            Some(Value::String(detail)) => parts.push(detail.clone()),
            Some(Value::Object(detail)) => {
                for (key, into) in [
                    ("required", &mut self.required_scopes),
                    ("granted", &mut self.granted_scopes),
                ] {
                    if let Some(Value::Array(scopes)) = detail.get(key) {
                        *into = scopes.iter().filter_map(|s| text(Some(s))).collect();
                    }
                }
            }
            _ => {}
        }
        if let Some(Value::Object(fields)) = error.get("fields") {
            parts.extend(fields.iter().map(|(field, what)| {
                let what = what.get(0).unwrap_or(what);
                format!("{field}: {}", what.as_str().unwrap_or_default())
            }));
        }
        parts.extend(text(error.get("id")).map(|id| format!("id {id}")));
        self.announcement = text(error.pointer("/data/announcement_url"))
            .or_else(|| text(json.pointer("/data/announcement_url")));
        if let Some(Value::Array(commits)) = error.pointer("/data/shas") {
            self.unknown_commits = commits.iter().filter_map(|sha| text(Some(sha))).collect();
        }
        parts.join(": ")
    }

    pub(crate) fn mentions(&self, word: &str) -> bool {
        self.message.to_ascii_lowercase().contains(word)
    }

    /// The API does not know this path at all, which says nothing about the repository.
    pub(crate) fn is_wrong_path(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.mentions("no api hosted at this url")
    }
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
