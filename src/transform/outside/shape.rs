//! Collects the shapes of JSON values at one path, and derives the Arrow type that holds all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use serde_json::Value;

/// The limit of fields of a struct. An object with more keys uses them as data, and is kept as text to bound memory.
const MOST_FIELDS: usize = 1000;

/// The limit of nesting, because planning recurses into types. Deeper values are kept as text unless the query reads
/// their fields.
const MOST_LEVELS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Boolean,
    Integer,
    Number,
    Text,
}

/// The shapes of all values at one path. The default is the shape of nulls only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    scalar: Option<Scalar>,
    item: Option<Box<Shape>>,
    fields: Option<BTreeMap<String, Shape>>,
}

impl Shape {
    pub(super) fn observe(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.scalar(Scalar::Boolean),
            Value::Number(number) if number.is_i64() => self.scalar(Scalar::Integer),
            // A double would lose the last digits.
            Value::Number(number) if number.is_u64() => self.scalar(Scalar::Text),
            Value::Number(_) => self.scalar(Scalar::Number),
            Value::String(_) => self.scalar(Scalar::Text),
            Value::Array(values) => {
                let item = self.item.get_or_insert_default();
                values.iter().for_each(|value| item.observe(value));
            }
            Value::Object(object) => {
                let fields = self.fields.get_or_insert_default();
                for (name, value) in object {
                    match fields.get_mut(name) {
                        Some(field) => field.observe(value),
                        None => fields.entry(name.clone()).or_default().observe(value),
                    }
                    if fields.len() > MOST_FIELDS {
                        fields.clear();
                        self.scalar = Some(Scalar::Text);
                        return;
                    }
                }
            }
        }
    }

    fn scalar(&mut self, seen: Scalar) {
        self.scalar = Some(match (self.scalar, seen) {
            (None, seen) => seen,
            (Some(known), seen) if known == seen => known,
            (Some(Scalar::Integer | Scalar::Number), Scalar::Integer | Scalar::Number) => {
                Scalar::Number
            }
            _ => Scalar::Text,
        });
    }

    /// Add an element of a list to the shape and return it.
    pub(super) fn add_item(&mut self) -> &mut Self {
        self.item.get_or_insert_default()
    }

    /// Add a field to the shape and return it.
    pub(super) fn add_field(&mut self, name: &str) -> &mut Self {
        let fields = self.fields.get_or_insert_default();
        fields.entry(name.to_owned()).or_default()
    }

    /// Return the shape of a field; `None` if no value has it.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.fields.as_ref()?.get(name)
    }

    /// Return whether all values were null.
    pub(super) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Return the columns for rows of this shape and a query that reads the fields `wanted`.
    pub(super) fn fields(&self, wanted: &Self) -> Vec<Field> {
        self.fields_at(0, wanted)
    }

    fn fields_at(&self, level: usize, wanted: &Self) -> Vec<Field> {
        let mut names: BTreeMap<&str, DataType> = BTreeMap::new();
        for (name, shape) in self.fields.iter().flatten() {
            names.insert(name, shape.data_type(level + 1, wanted.field(name)));
        }
        for (name, shape) in wanted.fields.iter().flatten() {
            names
                .entry(name)
                .or_insert_with(|| Self::default().data_type(level + 1, Some(shape)));
        }
        let fields = names.into_iter();
        fields
            .map(|(name, data_type)| Field::new(name, data_type, true))
            .collect()
    }

    /// Return the type that holds every value, which is text if no other does. If only some values are objects or
    /// lists, `wanted` decides.
    fn data_type(&self, level: usize, wanted: Option<&Self>) -> DataType {
        let nothing = Self::default();
        let wanted = wanted.unwrap_or(&nothing);
        if level > MOST_LEVELS && wanted.is_unknown() {
            return DataType::Utf8;
        }
        let has_fields = self
            .fields
            .as_ref()
            .is_some_and(|fields| !fields.is_empty());
        let seen = [self.scalar.is_some(), self.item.is_some(), has_fields];
        let kinds = seen.iter().filter(|seen| **seen).count();
        let takes_fields = wanted.fields.is_some() && (has_fields || kinds == 0);
        let takes_item = wanted.item.is_some() && (self.item.is_some() || kinds == 0);
        if takes_fields || (has_fields && kinds == 1) {
            return DataType::Struct(self.fields_at(level, wanted).into());
        }
        if takes_item || (self.item.is_some() && kinds == 1) {
            let item = self.item.as_deref().unwrap_or(&nothing);
            let item = item.data_type(level + 1, wanted.item.as_deref());
            return DataType::List(Arc::new(Field::new_list_field(item, true)));
        }
        match self.scalar {
            Some(Scalar::Boolean) if kinds == 1 => DataType::Boolean,
            Some(Scalar::Integer) if kinds == 1 => DataType::Int64,
            Some(Scalar::Number) if kinds == 1 => DataType::Float64,
            _ => DataType::Utf8,
        }
    }

    /// Return a shape that consists of one path.
    #[cfg(test)]
    pub(super) fn at(path: &[&str]) -> Self {
        let mut shape = Self::default();
        path.iter()
            .fold(&mut shape, |shape, name| shape.add_field(name));
        shape
    }
}
