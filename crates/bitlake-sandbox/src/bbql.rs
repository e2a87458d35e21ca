//! BBQL, Bitbucket's query language, as far as its lists support it.
//!
//! ```text
//! any   := all (OR all)*          all := test (AND test)*
//! test  := "(" any ")" | field op value | field IN "(" value, … ")"
//! value := "text" | date-time, quoted or not | number | true | false | null
//! ```

use chrono::{DateTime, NaiveDate, NaiveTime};
use std::cmp::Ordering;

use serde_json::Value;

use crate::errors::{self, SandboxReply};

/// The fields that an endpoint accepts in `q` and `sort`.
pub(crate) struct Vocabulary {
    /// The first segments of the fields that exist.
    pub fields: &'static [&'static str],
    /// Fields that exist but cannot be used in `q` or `sort`.
    pub refused: &'static [&'static str],
}

pub(crate) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Test {
        field: String,
        operator: Operator,
        literal: Literal,
    },
    In {
        field: String,
        literals: Vec<Literal>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Contains,
    NotContains,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Number(f64),
    Time(i128),
    Text(String),
}

impl Condition {
    pub(crate) fn parse(q: &str, vocabulary: &Vocabulary) -> Result<Self, SandboxReply> {
        let mut parser = Parser {
            rest: q.trim(),
            vocabulary,
        };
        let condition = parser.any()?;
        if parser.rest.is_empty() {
            Ok(condition)
        } else {
            Err(parser.fail())
        }
    }

    pub(crate) fn holds(&self, record: &Value) -> bool {
        match self {
            Self::Any(conditions) => conditions.iter().any(|one| one.holds(record)),
            Self::All(conditions) => conditions.iter().all(|one| one.holds(record)),
            Self::Test {
                field,
                operator,
                literal,
            } => reach(record, field, &|value| test(value, *operator, literal)),
            Self::In { field, literals } => reach(record, field, &|value| {
                literals
                    .iter()
                    .any(|literal| test(value, Operator::Equal, literal))
            }),
        }
    }
}

/// Apply `check` to the value at `path`. A list matches when one of its items does; a missing member is null.
fn reach(value: &Value, path: &str, check: &dyn Fn(&Value) -> bool) -> bool {
    if let Value::Array(items) = value {
        return items.iter().any(|item| reach(item, path, check));
    }
    match path.split_once('.') {
        Some((key, rest)) => reach(value.get(key).unwrap_or(&Value::Null), rest, check),
        None if path.is_empty() => check(value),
        None => reach(value.get(path).unwrap_or(&Value::Null), "", check),
    }
}

fn test(value: &Value, operator: Operator, literal: &Literal) -> bool {
    if matches!(operator, Operator::Contains | Operator::NotContains) {
        let (Value::String(text), Literal::Text(part)) = (value, literal) else {
            return false;
        };
        let contains = text.to_lowercase().contains(&part.to_lowercase());
        return contains == (operator == Operator::Contains);
    }
    let order = match (value, literal) {
        (Value::Null, Literal::Null) => Some(Ordering::Equal),
        (Value::Bool(value), Literal::Bool(literal)) => Some(value.cmp(literal)),
        (Value::Number(value), Literal::Number(literal)) => {
            value.as_f64().and_then(|value| value.partial_cmp(literal))
        }
        (Value::String(value), Literal::Time(literal)) => {
            nanoseconds(value).map(|value| value.cmp(literal))
        }
        (Value::String(value), Literal::Text(literal)) => Some(value.as_str().cmp(literal)),
        _ => None,
    };
    match operator {
        Operator::Equal => order == Some(Ordering::Equal),
        Operator::NotEqual => order != Some(Ordering::Equal),
        Operator::Greater => order == Some(Ordering::Greater),
        Operator::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Less => order == Some(Ordering::Less),
        Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Operator::Contains | Operator::NotContains => false,
    }
}

struct Parser<'a> {
    rest: &'a str,
    vocabulary: &'a Vocabulary,
}

impl Parser<'_> {
    fn fail(&self) -> SandboxReply {
        errors::bad_request(&format!("Invalid query near '{}'", self.rest))
    }

    fn take(&mut self, symbol: &str) -> bool {
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn keyword(&mut self, word: &str) -> bool {
        let matches = self
            .rest
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word));
        let rest = self.rest.get(word.len()..).unwrap_or_default();
        if matches && rest.starts_with([' ', '(']) {
            self.rest = rest.trim_start();
            true
        } else {
            false
        }
    }

    fn any(&mut self) -> Result<Condition, SandboxReply> {
        let mut conditions = vec![self.all()?];
        while self.keyword("OR") {
            conditions.push(self.all()?);
        }
        Ok(Condition::Any(conditions))
    }

    fn all(&mut self) -> Result<Condition, SandboxReply> {
        let mut conditions = vec![self.test()?];
        while self.keyword("AND") {
            conditions.push(self.test()?);
        }
        Ok(Condition::All(conditions))
    }

    fn test(&mut self) -> Result<Condition, SandboxReply> {
        if self.take("(") {
            let inner = self.any()?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err(self.fail())
            };
        }
        let field = self.word(|letter| letter.is_alphanumeric() || letter == '_' || letter == '.');
        if field.is_empty() {
            return Err(self.fail());
        }
        self.vocabulary.check(&field)?;
        if self.keyword("IN") {
            let mut literals = Vec::new();
            let mut open = self.take("(");
            while open {
                literals.push(self.literal(&field)?);
                open = self.take(",");
            }
            return if self.take(")") {
                Ok(Condition::In { field, literals })
            } else {
                Err(self.fail())
            };
        }
        let operators = [
            ("!=", Operator::NotEqual),
            ("!~", Operator::NotContains),
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("=", Operator::Equal),
            ("~", Operator::Contains),
        ];
        for (symbol, operator) in operators {
            if self.take(symbol) {
                let literal = self.literal(&field)?;
                return Ok(Condition::Test {
                    field,
                    operator,
                    literal,
                });
            }
        }
        Err(self.fail())
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self
            .rest
            .find(|letter| !belongs(letter))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word.to_owned()
    }

    fn literal(&mut self, field: &str) -> Result<Literal, SandboxReply> {
        let is_time = field.ends_with("_on") || field.ends_with("date");
        let literal = if let Some(quoted) = self.rest.strip_prefix('"') {
            let mut text = String::new();
            let mut letters = quoted.char_indices();
            let end = loop {
                match letters.next() {
                    None => return Err(self.fail()),
                    Some((at, '"')) => break at,
                    Some((_, '\\')) => text.extend(letters.next().map(|(_, letter)| letter)),
                    Some((_, letter)) => text.push(letter),
                }
            };
            self.rest = quoted.get(end + 1..).unwrap_or_default().trim_start();
            match nanoseconds(&text).filter(|_| is_time) {
                Some(time) => Literal::Time(time),
                None => Literal::Text(text),
            }
        } else {
            let before = self.rest;
            let word = self.word(|letter| !letter.is_whitespace() && !"(),".contains(letter));
            match word.as_str() {
                "null" => Literal::Null,
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                _ => match (word.parse(), nanoseconds(&word)) {
                    (Ok(number), _) => Literal::Number(number),
                    (_, Some(time)) => Literal::Time(time),
                    _ => {
                        self.rest = before;
                        return Err(self.fail());
                    }
                },
            }
        };
        if is_time && !matches!(literal, Literal::Time(_) | Literal::Null) {
            return Err(errors::bad_request(&format!(
                "Invalid date and time for {field}"
            )));
        }
        Ok(literal)
    }
}

/// Parse a date-time with an offset, or a date as midnight UTC.
pub(crate) fn nanoseconds(text: &str) -> Option<i128> {
    let time = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.to_utc(),
        Err(_) => NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()?
            .and_time(NaiveTime::MIN)
            .and_utc(),
    };
    Some(i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::super::query::apply;
    use super::*;
    use serde_json::json;

    const VOCABULARY: Vocabulary = Vocabulary {
        fields: &[
            "id",
            "state",
            "title",
            "draft",
            "author",
            "reviewers",
            "created_on",
        ],
        refused: &["closed_on"],
    };

    fn ids(q: &str) -> Result<Vec<i64>, SandboxReply> {
        let records = [
            json!({"id": 1, "state": "OPEN", "title": "Add a (cart)", "draft": true, "author": null,
                   "reviewers": [{"uuid": "{r}"}], "created_on": "2026-01-01T00:00:00.500000+00:00"}),
            json!({"id": 2, "state": "MERGED", "title": "say \"hi\"", "draft": false, "author": {"uuid": "{a}"},
                   "reviewers": [], "created_on": "2026-01-01T02:00:00+00:00"}),
            json!({"id": 3, "state": "DECLINED", "title": "Remove CART", "author": {"uuid": "{b}"},
                   "created_on": "2026-02-01T00:00:00.000000001Z"}),
        ];
        let found = apply(records.iter().collect(), Some(q), None, &VOCABULARY)?;
        Ok(found
            .iter()
            .filter_map(|record| record["id"].as_i64())
            .collect())
    }

    #[track_caller]
    fn finds(q: &str, expected: &[i64]) {
        assert_eq!(ids(q).expect(q), expected, "{q}");
    }

    #[test]
    fn operators_and_precedence() {
        finds("id = 2", &[2]);
        finds("id != 2", &[1, 3]);
        finds("id>=2 AND id<3", &[2]);
        finds(r#"state="OPEN" OR state = "MERGED" AND id > 2"#, &[1]);
        finds(r#"(state="OPEN" OR state="MERGED") AND id > 1"#, &[2]);
        finds("id IN (1, 3)", &[1, 3]);
        finds(r#"title ~ "cart""#, &[1, 3]);
        finds(r#"title !~ "cart""#, &[2]);
        finds(r#"title = "say \"hi\"""#, &[2]);
        finds("draft = true", &[1]);
        finds("draft = null", &[3]);
        finds("author.uuid = null", &[1]);
        finds(r#"reviewers.uuid = "{r}""#, &[1]);
    }

    #[test]
    fn times_compare_as_instants_quoted_or_not() {
        finds("created_on > 2026-01-01T01:00:00+01:00", &[1, 2, 3]);
        finds(r#"created_on >= "2026-01-01T03:00:00+01:00""#, &[2, 3]);
        finds(r#"created_on > "2026-02-01T00:00:00Z""#, &[3]);
        finds("created_on < 2026-01-02", &[1, 2]);
    }

    #[test]
    fn what_bitbucket_cannot_read_is_refused() {
        for q in [
            "closed_on > 2026-01-01",
            "nonsense = 1",
            "id =",
            "id = 1 AND",
            "(id = 1",
            "id ! 1",
            r#"title = "open"#,
            r#"created_on > "2026-01-01T00:00:00 00:00""#,
            "created_on > 2026-01-01T00:00:00 00:00",
        ] {
            assert_eq!(ids(q).expect_err(q).status, 400, "{q}");
        }
    }
}
