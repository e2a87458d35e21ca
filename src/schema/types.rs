//! Parse the types of schema files into Arrow types.
//!
//! A type is a word (`"string"`, `"timestamp"` …), `{"struct": [{"name", "type"}, …]}`, `{"list": TYPE}`, or the name
//! of a type in `schemas/types.json`, which defines the structs that many tables have (accounts, references).

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, OrError, Result};

/// Deepest nesting of types. Named types may refer to each other; a deeper nesting is a cycle.
const MAX_DEPTH: usize = 16;

/// A type in a schema file.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum TypeText {
    Name(String),
    Struct { r#struct: Vec<FieldText> },
    List { list: Box<TypeText> },
}

/// A field of a struct in a schema file.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct FieldText {
    name: String,
    r#type: TypeText,
}

/// The named types of `schemas/types.json`.
#[derive(Debug, Default)]
pub(super) struct Types(BTreeMap<String, TypeText>);

impl Types {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let named = serde_json::from_str(text)
            .or_error(ErrorKind::Internal, "cannot read schemas/types.json")?;
        Ok(Self(named))
    }

    /// Return the Arrow type.
    pub(super) fn resolve(&self, text: &TypeText) -> Result<DataType> {
        self.resolve_within(text, MAX_DEPTH)
    }

    fn resolve_within(&self, text: &TypeText, depth: usize) -> Result<DataType> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Error::new(
                ErrorKind::Internal,
                "types refer to each other in a cycle",
            ));
        };
        Ok(match text {
            TypeText::Name(name) => match name.as_str() {
                "string" => DataType::Utf8,
                "bigint" => DataType::Int64,
                "double" => DataType::Float64,
                "boolean" => DataType::Boolean,
                "date" => DataType::Date32,
                "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                other => match self.0.get(other) {
                    Some(named) => self.resolve_within(named, depth)?,
                    None => {
                        return Err(Error::new(ErrorKind::Internal, "unknown type in a schema")
                            .with("type", other));
                    }
                },
            },
            TypeText::Struct { r#struct: fields } => {
                let fields = fields
                    .iter()
                    .map(|field| {
                        let data_type = self.resolve_within(&field.r#type, depth)?;
                        Ok(Field::new(&field.name, data_type, true))
                    })
                    .collect::<Result<Vec<_>>>()?;
                DataType::Struct(fields.into())
            }
            TypeText::List { list } => {
                let item = self.resolve_within(list, depth)?;
                DataType::List(Arc::new(Field::new("item", item, true)))
            }
        })
    }
}

/// Return the name of a type in the data dictionary.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "varchar".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp (UTC)".to_owned(),
        DataType::List(item) => format!("{}[]", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|field| format!("{} {}", field.name(), type_name(field.data_type())))
                .collect();
            format!("struct({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}
