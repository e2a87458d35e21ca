//! Arrow columns, built value by value from JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListArray, NullBufferBuilder,
    StringBuilder, StructArray, TimestampMicrosecondBuilder, new_null_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use datafusion::arrow::error::ArrowError;

use super::times::{OddTimes, is_beyond_calendars, is_storable};
use crate::json::{CommonKey, JsonValue};

/// Values that did not fit their column.
#[derive(Debug, Default)]
pub(super) struct Misfits {
    /// Their number, by path.
    pub(super) counts: BTreeMap<String, u64>,
    /// Those of them that are times no warehouse can store, by path.
    pub(super) odd_times: BTreeMap<String, OddTimes>,
}

impl Misfits {
    pub(super) fn add(&mut self, path: &str) {
        *self.counts.entry(path.to_owned()).or_default() += 1;
    }
}

/// A column under construction. A value that does not fit is null.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    name: String,
    key: Option<&'static CommonKey>,
    /// The names of the columns around it and its own: `state.stage.name`.
    path: String,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Text(StringBuilder),
    Integer(Int64Builder),
    Number(Float64Builder),
    Boolean(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Struct {
        fields: Fields,
        columns: Vec<ColumnBuilder>,
        validity: NullBufferBuilder,
    },
    List {
        item: FieldRef,
        items: Box<ColumnBuilder>,
        ends: Vec<i32>,
        validity: NullBufferBuilder,
    },
    /// Nulls of a type that no JSON value has.
    Nothing(DataType, usize),
}

impl ColumnBuilder {
    /// Create a builder of a field in the struct at `path`.
    pub(super) fn new(field: &Field, path: &str) -> Self {
        let name = field.name().clone();
        let path = match path {
            "" => name.clone(),
            _ => format!("{path}.{name}"),
        };
        Self {
            values: Values::new(field.data_type(), &path),
            key: CommonKey::of(&name),
            name,
            path,
        }
    }

    /// Append the value that an object has for this column.
    pub(super) fn append_of(&mut self, object: JsonValue<'_>, misfits: &mut Misfits) {
        self.append(object.find(&self.name, self.key), misfits);
    }

    fn append(&mut self, value: Option<JsonValue<'_>>, misfits: &mut Misfits) {
        let value = value.filter(|value| !value.is_null());
        let fits = match value {
            Some(value) => self.values.append(value, &self.path, misfits),
            None => false,
        };
        if !fits {
            self.values.append_null();
            if value.is_some() {
                misfits.add(&self.path);
            }
        }
    }

    /// Return the column, and start over.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.values.finish()
    }
}

impl Values {
    fn new(data_type: &DataType, path: &str) -> Self {
        match data_type {
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Int64 => Self::Integer(Int64Builder::new()),
            DataType::Float64 => Self::Number(Float64Builder::new()),
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let builder = TimestampMicrosecondBuilder::new();
                Self::Time(builder.with_data_type(data_type.clone()))
            }
            DataType::Struct(fields) => Self::Struct {
                columns: fields
                    .iter()
                    .map(|it| ColumnBuilder::new(it, path))
                    .collect(),
                fields: fields.clone(),
                validity: NullBufferBuilder::new(0),
            },
            DataType::List(item) => Self::List {
                items: Box::new(ColumnBuilder {
                    name: String::new(),
                    key: None,
                    path: path.to_owned(),
                    values: Self::new(item.data_type(), path),
                }),
                item: Arc::clone(item),
                ends: vec![0],
                validity: NullBufferBuilder::new(0),
            },
            other => Self::Nothing(other.clone(), 0),
        }
    }

    /// Append a value that is not null. Return false, and append nothing, if it does not fit.
    fn append(&mut self, value: JsonValue<'_>, path: &str, misfits: &mut Misfits) -> bool {
        match self {
            Self::Text(builder) => value.as_str().map(|text| append_text(builder, text)),
            Self::Integer(builder) => integer(value).map(|value| builder.append_value(value)),
            Self::Number(builder) => {
                let number = value.as_number().and_then(|number| number.as_f64());
                number.map(|value| builder.append_value(value))
            }
            Self::Boolean(builder) => value.as_bool().map(|value| builder.append_value(value)),
            Self::Time(builder) => {
                let time = value.as_str().and_then(|text| time(text, path, misfits));
                time.map(|time| builder.append_value(time))
            }
            Self::Struct {
                columns, validity, ..
            } => value.is_object().then(|| {
                for column in columns {
                    column.append_of(value, misfits);
                }
                validity.append_non_null();
            }),
            Self::List {
                items,
                ends,
                validity,
                ..
            } => value.is_array().then(|| {
                let mut end = ends.last().copied().unwrap_or_default();
                for item in value.items() {
                    items.append(Some(item), misfits);
                    end = end.saturating_add(1);
                }
                ends.push(end);
                validity.append_non_null();
            }),
            Self::Nothing(..) => None,
        }
        .is_some()
    }

    fn append_null(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Integer(builder) => builder.append_null(),
            Self::Number(builder) => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Struct {
                columns, validity, ..
            } => {
                for column in columns {
                    column.values.append_null();
                }
                validity.append_null();
            }
            Self::List { ends, validity, .. } => {
                ends.push(ends.last().copied().unwrap_or_default());
                validity.append_null();
            }
            Self::Nothing(_, rows) => *rows += 1,
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Number(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Struct {
                fields,
                columns,
                validity,
            } => {
                let columns = columns.iter_mut().map(ColumnBuilder::finish);
                let columns = columns.collect::<Result<_, _>>()?;
                let array = StructArray::try_new(fields.clone(), columns, validity.finish())?;
                Arc::new(array)
            }
            Self::List {
                item,
                items,
                ends,
                validity,
            } => {
                let ends = std::mem::replace(ends, vec![0]);
                let (offsets, items) = (OffsetBuffer::new(ends.into()), items.finish()?);
                let item = Arc::clone(item);
                Arc::new(ListArray::try_new(item, offsets, items, validity.finish())?)
            }
            Self::Nothing(data_type, rows) => new_null_array(data_type, std::mem::take(rows)),
        })
    }
}

/// JSON allows the character NUL, most warehouses do not. DevLake strips it too.
fn append_text(builder: &mut StringBuilder, text: &str) {
    match text.contains('\0') {
        true => builder.append_value(text.replace('\0', "")),
        false => builder.append_value(text),
    }
}

/// `9.0` is an integer too.
fn integer(value: JsonValue<'_>) -> Option<i64> {
    let number = value.as_number()?;
    let whole = || {
        let float = number.as_f64();
        float.filter(|float| float.abs() < 9e15 && float.fract() == 0.0)
    };
    number
        .as_i64()
        .or_else(|| whole().map(|float| float as i64))
}

/// Return a time in microseconds since 1970. A number is none: 7 would be in 1970.
fn time(text: &str, path: &str, misfits: &mut Misfits) -> Option<i64> {
    let time = string_to_datetime(&chrono::Utc, text);
    let time = time.map(|time| time.timestamp_micros()).ok();
    if time.map_or(is_beyond_calendars(text), |time| !is_storable(time)) {
        misfits
            .odd_times
            .entry(path.to_owned())
            .or_default()
            .add(text);
    }
    time.filter(|time| is_storable(*time))
}
