//! Parameters of bundled queries: declared in the file's header, checked before planning, passed as typed values.
//!
//! ```text
//! -- param: projects varchar[] = null    only these projects
//! ```

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, ErrorKind, OrError, Result};

/// A parameter with the value it will have.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    pub name: String,
    pub type_name: String,
    pub value: ScalarValue,
}

/// The parameters that a query's header declares, with their defaults.
pub fn declared(sql: &str) -> Result<Vec<Param>> {
    sql.lines()
        .filter_map(|line| line.trim().strip_prefix("-- param:"))
        .map(|text| {
            let malformed = || {
                Error::new(
                    ErrorKind::Internal,
                    "malformed parameter in a query's header",
                )
                .with("line", text.trim())
            };
            let (declaration, default) = text.split_once('=').ok_or_else(malformed)?;
            let mut words = declaration.split_whitespace();
            let (Some(name), Some(type_name), None) = (words.next(), words.next(), words.next())
            else {
                return Err(malformed());
            };
            let default = default.split_whitespace().next().ok_or_else(malformed)?;
            Ok(Param {
                name: name.to_owned(),
                type_name: type_name.to_owned(),
                value: parse(type_name, default.trim_matches('\''))?,
            })
        })
        .collect()
}

/// `params` with the values given as `name=text`.
///
/// # Errors
/// [`ErrorKind::Usage`]: an unknown name, or a value that is not of the declared type.
pub fn parse_values(mut params: Vec<Param>, given: &[(String, String)]) -> Result<Vec<Param>> {
    for (name, text) in given {
        let known: Vec<_> = params.iter().map(|param| param.name.clone()).collect();
        let Some(param) = params.iter_mut().find(|param| param.name == *name) else {
            return Err(
                Error::new(ErrorKind::Usage, "the query has no such parameter")
                    .with("param", name)
                    .hint(match known.as_slice() {
                        [] => "it takes none".to_owned(),
                        names => format!("it takes {}", names.join(", ")),
                    }),
            );
        };
        param.value = parse(&param.type_name, text).map_err(|error| error.with("param", name))?;
    }
    Ok(params)
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
        ScalarValue::try_from_string(text.to_owned(), &data_type)
            .or_error(ErrorKind::Usage, format!("`{text}` is not a {element}"))
    };
    match (list, text) {
        (false, "null") => {
            ScalarValue::try_from(&data_type).or_error(ErrorKind::Internal, "no null of this type")
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "-- A question.\n-- param: projects varchar[] = null   which\n-- param: n bigint = 10\nSELECT 1";

    #[test]
    fn a_header_declares_names_types_and_defaults() {
        let params = declared(HEADER).unwrap();
        assert_eq!(params[1].value, ScalarValue::Int64(Some(10)));
        assert!(params[0].value.is_null());
    }

    #[test]
    fn values_are_checked_by_name_and_type() {
        let given = |name: &str, text: &str| vec![(name.to_owned(), text.to_owned())];
        let params = || declared(HEADER).unwrap();
        assert!(
            !parse_values(params(), &given("projects", "a,b")).unwrap()[0]
                .value
                .is_null()
        );
        let error = parse_values(params(), &given("n", "ten"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("`ten` is not a bigint (param=n)"),
            "{error}"
        );
        let error = parse_values(params(), &given("m", "1"))
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("it takes projects, n"), "{error}");
    }
}
