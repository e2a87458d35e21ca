//! The meaning of an error body, where it changes what the client does next.
//!
//! Bitbucket states a rejected parameter in a typed part of the body (`error.data.key` or the keys of `error.fields`) or
//! only in a sentence, and a wrong path only in a sentence. The sentences are matched in this module and nowhere else.

use reqwest::StatusCode;

/// The condition that an error body states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ServerMessage {
    /// The API has no such path; the reply does not mean that a repository or a list is unavailable.
    NoApiAtPath,
    /// `pagelen` is larger than the endpoint allows.
    RejectedPageLength,
    /// The endpoint does not support the `sort`.
    RejectedSort,
    /// The endpoint does not support the `fields`.
    RejectedFields,
    /// The endpoint does not support the `q`.
    RejectedFilter,
    /// Any other condition.
    #[default]
    Other,
}

/// Values of `error.data.key`. Source: recorded replies of the pipelines service.
const KEYS: [(&str, ServerMessage); 1] = [(
    "rest-service.rest-service.invalid-sort-attribute",
    ServerMessage::RejectedSort,
)];

/// Keys of `error.fields`, which are names of parameters. Source: Bitbucket's REST documentation, "Standardized error
/// responses".
const PARAMETERS: [(&str, ServerMessage); 4] = [
    ("pagelen", ServerMessage::RejectedPageLength),
    ("sort", ServerMessage::RejectedSort),
    ("fields", ServerMessage::RejectedFields),
    ("q", ServerMessage::RejectedFilter),
];

/// Parts of sentences in lower case. The first row whose status and part match applies.
const SENTENCES: [(StatusCode, &str, ServerMessage); 4] = [
    // Recorded: "Resource not found", detail "There is no API hosted at this URL".
    (
        StatusCode::NOT_FOUND,
        "no api hosted at this url",
        ServerMessage::NoApiAtPath,
    ),
    // Recorded: "Invalid pagelen" (BCLOUD-13229).
    (
        StatusCode::BAD_REQUEST,
        "pagelen",
        ServerMessage::RejectedPageLength,
    ),
    // Recorded: "Bad request", detail "Invalid sort attribute provided 'completed_on'".
    (StatusCode::BAD_REQUEST, "sort", ServerMessage::RejectedSort),
    // "Invalid fields parameter", "Invalid field: …"; not recorded.
    (
        StatusCode::BAD_REQUEST,
        "field",
        ServerMessage::RejectedFields,
    ),
];

impl ServerMessage {
    /// Classify an error body. `key`: its `error.data.key`; `parameters`: the keys of its `error.fields`; `text`: all its
    /// sentences.
    pub(super) fn classify(
        status: StatusCode,
        key: Option<&str>,
        parameters: &[String],
        text: &str,
    ) -> Self {
        if status == StatusCode::BAD_REQUEST {
            let by_key = KEYS.iter().find(|(known, _)| key == Some(*known));
            let is_named = |name: &str| parameters.iter().any(|parameter| parameter == name);
            let by_parameter = PARAMETERS.iter().find(|(name, _)| is_named(name));
            if let Some((_, message)) = by_key.or(by_parameter) {
                return *message;
            }
        }
        let text = text.to_ascii_lowercase();
        let mut sentences = SENTENCES.iter();
        let known = sentences.find(|(of, part, _)| *of == status && text.contains(part));
        known.map_or(Self::Other, |(.., message)| *message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(status: StatusCode, text: &str) -> ServerMessage {
        ServerMessage::classify(status, None, &[], text)
    }

    #[test]
    fn recorded_sentences_are_recognized_by_status_and_text() {
        let (missing, bad) = (StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST);
        let cases = [
            (
                missing,
                "Resource not found: There is no API hosted at this URL",
                ServerMessage::NoApiAtPath,
            ),
            (missing, "Resource not found", ServerMessage::Other),
            (bad, "Invalid pagelen", ServerMessage::RejectedPageLength),
            (missing, "Invalid pagelen", ServerMessage::Other),
            (
                bad,
                "Bad request: Invalid sort attribute provided 'completed_on'",
                ServerMessage::RejectedSort,
            ),
            (
                bad,
                "Invalid fields parameter",
                ServerMessage::RejectedFields,
            ),
            (
                bad,
                "Bad request: Invalid field: sort_key",
                ServerMessage::RejectedSort,
            ),
            (bad, "Bad request", ServerMessage::Other),
        ];
        for (status, text, expected) in cases {
            assert_eq!(classify(status, text), expected, "{text}");
        }
    }

    #[test]
    fn typed_parts_take_precedence_over_sentences() {
        let bad = StatusCode::BAD_REQUEST;
        let key = Some("rest-service.rest-service.invalid-sort-attribute");
        assert_eq!(
            ServerMessage::classify(bad, key, &[], "Invalid fields parameter"),
            ServerMessage::RejectedSort
        );
        assert_eq!(
            ServerMessage::classify(bad, None, &["q".to_owned()], "q: no such field"),
            ServerMessage::RejectedFilter
        );
    }
}
