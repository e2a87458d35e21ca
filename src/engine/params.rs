//! Parameters of queries: declared in the header of the file, checked before planning, passed as typed values.
//!
//! ```text
//! -- param: project varchar[] = null    only these projects
//! -- param: interval varchar = month    one of: day, week, month, quarter, year
//! ```
//!
//! A timestamp that is written as a local time gets its value by [`resolve_moments`]; until then it is that of UTC, and
//! null if it depends on the present time.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::scalar::ScalarValue;

use super::moment::{MOMENT_FORMS, Moment};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::suggest;

const PREFIX: &str = "-- param:";
const CLOSED_SET: &str = "one of:";

/// A parameter and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// The name after `$`.
    pub name: String,
    /// The declared type, such as `varchar[]`.
    pub type_name: String,
    /// The text of the value: the default, or the given text.
    pub text: String,
    /// The typed value.
    pub value: ScalarValue,
    /// The allowed values; empty if any value is allowed.
    pub allowed: Vec<String>,
    /// What the header says about the parameter.
    pub description: String,
    /// The time that a timestamp was written as.
    pub moment: Option<Moment>,
}

impl Param {
    /// Return whether the parameter takes a list.
    pub fn is_list(&self) -> bool {
        self.type_name.ends_with("[]")
    }

    /// Return the items of the value: those of a list, one for a scalar, none for null.
    pub fn items(&self) -> Vec<&str> {
        match self.text.as_str() {
            "null" => Vec::new(),
            text if self.is_list() => text.split(',').map(str::trim).collect(),
            text => vec![text],
        }
    }

    /// Return a parameter without a declaration.
    fn undeclared(name: &str, type_name: &str) -> Self {
        Self {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            text: String::new(),
            value: ScalarValue::Null,
            allowed: Vec::new(),
            description: String::new(),
            moment: None,
        }
    }

    fn set(&mut self, text: &str) -> Result<()> {
        self.moment = match (self.type_name.as_str(), text) {
            ("timestamp", "null") => None,
            ("timestamp", text) => Some(Moment::parse(text).ok_or_else(|| not_a_time(text))?),
            _ => None,
        };
        self.value = match self.moment {
            Some(moment) if moment.is_relative() => parse(&self.type_name, "null")?,
            Some(moment) => instant(moment.resolve(Tz::UTC, DateTime::UNIX_EPOCH)),
            None => parse(&self.type_name, text)?,
        };
        text.clone_into(&mut self.text);
        let unknown = self
            .items()
            .into_iter()
            .find(|word| !self.allowed.is_empty() && !self.allowed.iter().any(|it| it == word));
        match unknown {
            Some(word) => {
                let allowed: Vec<_> = self.allowed.iter().map(String::as_str).collect();
                Err(unknown_value_error(&self.name, word, &allowed, "it may be"))
            }
            None => Ok(()),
        }
    }
}

/// Return the error for a value that is not among `known`. Its hint names the closest known value, and lists the first
/// 20.
pub fn unknown_value_error(param: &str, value: &str, known: &[&str], label: &str) -> Error {
    const SHOWN: usize = 20;
    let near = suggest::closest(value, known.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let more = match known.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let listed = known
        .iter()
        .take(SHOWN)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    Error::new(ErrorKind::Usage, format!("`{value}` is not a known value"))
        .with("param", param)
        .hint(match known {
            [] => "this lake has no values for it".to_owned(),
            _ => format!("{near}{label} {listed}{more}"),
        })
}

/// Return the parameters that the header of a query declares, with their defaults.
///
/// # Errors
/// [`ErrorKind::Configuration`] for a malformed declaration, [`ErrorKind::Usage`] for a default of the wrong type.
pub fn declared_params(sql: &str) -> Result<Vec<Param>> {
    sql.lines()
        .filter_map(|line| line.trim().strip_prefix(PREFIX))
        .map(|text| {
            let malformed = || {
                Error::new(
                    ErrorKind::Configuration,
                    "malformed parameter in a query's header",
                )
                .with("line", text.trim())
                .hint("write `-- param: NAME TYPE = DEFAULT   what it is`")
            };
            let (declaration, behind) = text.split_once('=').ok_or_else(malformed)?;
            let mut words = declaration.split_whitespace();
            let (Some(name), Some(type_name), None) = (words.next(), words.next(), words.next())
            else {
                return Err(malformed());
            };
            let default = behind.split_whitespace().next().ok_or_else(malformed)?;
            let allowed = behind.split_once(CLOSED_SET).map_or("", |(_, set)| set);
            let allowed = allowed
                .split(';')
                .next()
                .unwrap_or_default()
                .split(',')
                .map(|word| word.trim().to_owned());
            let description = behind.trim_start().strip_prefix(default);
            let mut param = Param {
                allowed: allowed.filter(|word| !word.is_empty()).collect(),
                description: description.unwrap_or_default().trim().to_owned(),
                ..Param::undeclared(name, type_name)
            };
            param.set(default.trim_matches('\''))?;
            Ok(param)
        })
        .collect()
}

/// Set `params` to the values given as `name=text`. The items of a list may be given in several parts.
///
/// # Errors
/// [`ErrorKind::Usage`]: an unknown name, a value of the wrong type, a value that is not allowed, or a second value for
/// a scalar.
pub fn bind_params(mut params: Vec<Param>, given: &[(String, String)]) -> Result<Vec<Param>> {
    let known: Vec<_> = params.iter().map(|param| param.name.clone()).collect();
    let mut seen = BTreeSet::new();
    for (name, text) in given {
        let Some(param) = params.iter_mut().find(|param| param.name == *name) else {
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            return Err(
                Error::new(ErrorKind::Usage, "the query has no such parameter")
                    .with("param", name)
                    .hint(match known.as_slice() {
                        [] => "it takes no parameters".to_owned(),
                        names => suggest::hint(name, names, "it takes"),
                    }),
            );
        };
        let text = match (seen.insert(name), param.is_list()) {
            (true, _) => text.clone(),
            (false, true) => format!("{},{text}", param.text),
            (false, false) => {
                return Err(Error::new(ErrorKind::Usage, "the parameter is given twice")
                    .with("param", name)
                    .hint("it takes one value"));
            }
        };
        param
            .set(&text)
            .map_err(|error| error.with("param", name))?;
    }
    Ok(params)
}

/// Add the placeholders of a query that its header does not declare, `name` and type, so that values can be given.
///
/// # Errors
/// [`ErrorKind::Usage`] if one of them is not among the `given` values.
pub fn add_placeholders(
    mut params: Vec<Param>,
    placeholders: impl IntoIterator<Item = (String, Option<DataType>)>,
    given: &[(String, String)],
) -> Result<Vec<Param>> {
    for (name, data_type) in placeholders {
        if params.iter().any(|param| param.name == name) {
            continue;
        }
        if !given.iter().any(|(given, _)| *given == name) {
            return Err(
                Error::new(ErrorKind::Usage, "a parameter of the SQL has no value")
                    .with("param", &name)
                    .hint(format!("add --param {name}=VALUE")),
            );
        }
        params.push(Param::undeclared(&name, type_name(data_type.as_ref())));
    }
    Ok(params)
}

/// Return the declared name of a type, `varchar` if it is unknown.
fn type_name(data_type: Option<&DataType>) -> &'static str {
    match data_type {
        Some(data_type) if data_type.is_integer() => "bigint",
        Some(data_type) if data_type.is_numeric() => "double",
        Some(DataType::Boolean) => "boolean",
        Some(DataType::Date32 | DataType::Date64) => "date",
        Some(DataType::Timestamp(..)) => "timestamp",
        Some(DataType::List(item)) => match item.data_type().is_integer() {
            true => "bigint[]",
            false => "varchar[]",
        },
        _ => "varchar",
    }
}

/// Give every time the value that it has in `zone`. `now` decides what `today` and `last month` are.
///
/// # Errors
/// [`ErrorKind::Usage`] if `from` is not before `to`.
pub fn resolve_moments(params: &mut [Param], zone: Tz, now: DateTime<Utc>) -> Result<()> {
    for param in params.iter_mut() {
        if let Some(moment) = param.moment {
            param.value = instant(moment.resolve(zone, now));
        }
    }
    let micros = |name: &str| {
        let param = params.iter().find(|param| param.name == name)?;
        match param.value {
            ScalarValue::TimestampMicrosecond(micros, _) => Some((micros?, param.text.as_str())),
            _ => None,
        }
    };
    match (micros("from"), micros("to")) {
        (Some((from, from_text)), Some((to, to_text))) if from >= to => {
            let message = format!("`from` ({from_text}) is not before `to` ({to_text})");
            Err(Error::new(ErrorKind::Usage, message).hint(
                "a date or month stands for its first instant, and `to` is the first instant after the period: \
                 October 2026 is from=2026-10 and to=2026-11, the month before this one is from=last-month and to=this-month",
            ))
        }
        _ => Ok(()),
    }
}

fn instant(time: DateTime<Utc>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), Some("UTC".into()))
}

fn not_a_time(text: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("`{text}` is not a time"))
        .hint(format!("write {MOMENT_FORMS}"))
}

/// Return what a type takes.
fn accepted_values(type_name: &str) -> &'static str {
    match type_name.trim_end_matches("[]") {
        "bigint" => "a whole number, such as 10",
        "double" => "a number, such as 1.5",
        "boolean" => "true or false",
        "date" => "a date, such as 2026-10-01",
        "timestamp" => MOMENT_FORMS,
        _ => "a text",
    }
}

fn parse(type_name: &str, text: &str) -> Result<ScalarValue> {
    let (element, list) = match type_name.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (type_name, false),
    };
    let data_type = match element {
        "varchar" => DataType::Utf8,
        "bigint" => DataType::Int64,
        "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        other => {
            return Err(
                Error::new(ErrorKind::Internal, "unknown parameter type").with("type", other)
            );
        }
    };
    let scalar = |text: &str| {
        ScalarValue::try_from_string(text.to_owned(), &data_type).map_err(|_| {
            Error::new(ErrorKind::Usage, format!("`{text}` is not a {element}"))
                .hint(format!("write {}", accepted_values(element)))
        })
    };
    match (list, text) {
        (false, "null") => {
            ScalarValue::try_from(&data_type).or_error(ErrorKind::Internal, "the type has no null")
        }
        (false, text) => scalar(text),
        (true, "null") => {
            let item = Arc::new(Field::new_list_field(data_type, true));
            Ok(ScalarValue::new_null_list(
                item.data_type().clone(),
                true,
                1,
            ))
        }
        (true, text) => {
            let values = text
                .split(',')
                .map(|part| scalar(part.trim()))
                .collect::<Result<Vec<_>>>()?;
            Ok(ScalarValue::List(ScalarValue::new_list(
                &values, &data_type, true,
            )))
        }
    }
}

/// Return a text as a literal of SQL.
pub fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "-- A question.\n-- param: projects varchar[] = null   which\n-- param: n bigint = 10\nSELECT 1";

    #[test]
    fn a_header_declares_names_types_and_defaults() {
        let params = declared_params(HEADER).unwrap();
        assert_eq!(params[1].value, ScalarValue::Int64(Some(10)));
        assert!(params[0].value.is_null());
    }

    #[test]
    fn values_are_checked_by_name_and_type() {
        let given = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
        let params = || declared_params(HEADER).unwrap();
        assert!(
            !bind_params(params(), &given("projects", "a,b")).unwrap()[0]
                .value
                .is_null()
        );
        let error = bind_params(params(), &given("n", "ten"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("`ten` is not a bigint (param=n)"),
            "{error}"
        );
        let error = bind_params(params(), &given("limit", "1"))
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("it takes: projects, n"), "{error}");
        let error = bind_params(params(), &given("project", "a"))
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("did you mean `projects`?"), "{error}");
    }

    #[test]
    fn a_value_outside_the_allowed_ones_is_rejected() {
        let header = "-- A question?\n-- param: interval varchar = month   one of: day, week, month\nSELECT 1";
        let given = |text: &str| vec![("interval".to_owned(), text.to_owned())];
        assert!(bind_params(declared_params(header).unwrap(), &given("day")).is_ok());
        let error = bind_params(declared_params(header).unwrap(), &given("weeks")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`weeks` is not a known value (param=interval): did you mean `week`? it may be day, week, month"
        );
    }

    #[test]
    fn only_a_list_may_be_given_in_parts() {
        let twice = |name: &str| {
            vec![
                (name.to_owned(), "1".to_owned()),
                (name.to_owned(), "2".to_owned()),
            ]
        };
        let params = bind_params(declared_params(HEADER).unwrap(), &twice("projects")).unwrap();
        assert_eq!(params[0].items(), ["1", "2"]);
        let error = bind_params(declared_params(HEADER).unwrap(), &twice("n")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the parameter is given twice (param=n)")
        );
    }
}
