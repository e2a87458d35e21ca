//! A JSON text as one list of nodes, which is parsed and searched many times faster than a tree of maps.
//!
//! ```text
//! {"id":7,"author":{"name":"A"}}  ─▶  Object, Key id, Number 7, Key author, Object, Key name, Text A      nodes, in document order
//!                                     id author name A                                                    their texts, joined
//! ```
//!
//! A container knows where its last descendant ends, so that a search skips what it does not look for.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Number, Value};

use super::keys::{CommonKey, CommonKeys};

/// A parsed JSON text.
#[derive(Debug, Clone, Default)]
pub(crate) struct JsonDocument {
    nodes: Vec<Node>,
    texts: String,
    repeats: bool,
}

/// A value inside a [`JsonDocument`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonValue<'d> {
    document: &'d JsonDocument,
    /// The index of its node.
    at: usize,
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(Span),
    EscapedText(Span),
    /// The value of a key is the next node.
    CommonKey(&'static CommonKey),
    Key(Span),
    EscapedKey(Span),
    /// The index of the node after the last descendant.
    Array(u32),
    Object(u32),
}

/// A range of the joined texts.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// A key of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonKey<'d> {
    pub(crate) name: &'d str,
    /// The entry of the table of common keys.
    pub(crate) common: Option<&'static CommonKey>,
    /// Whether the source spells it with an escape; otherwise it is a part of the source.
    pub(crate) is_escaped: bool,
}

impl JsonKey<'_> {
    fn is(self, name: &str, common: Option<&'static CommonKey>) -> bool {
        match (self.common, common) {
            (Some(own), Some(common)) => std::ptr::eq(own, common),
            _ => self.name == name,
        }
    }
}

impl JsonDocument {
    /// Parse a text that serde_json accepts.
    ///
    /// # Errors
    /// The error of serde_json.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        // The indices of nodes and texts have 32 bits.
        if u32::try_from(text.len()).is_err() {
            return Err(serde_json::Error::custom("the text is too long"));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let document = Self {
            nodes: Vec::with_capacity(text.len() / 16),
            texts: String::with_capacity(text.len()),
            repeats: false,
        };
        let document = document.read(&mut deserializer)?;
        deserializer.end()?;
        Ok(document)
    }

    /// Append the nodes of a value.
    fn read<'de, D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Self, D::Error> {
        let mut unknown_keys = Vec::new();
        let common_keys = CommonKeys::read();
        let reader = NodeReader {
            document: &mut self,
            common_keys: &common_keys,
            unknown_keys: &mut unknown_keys,
        };
        reader.deserialize(deserializer)?;
        drop(common_keys);
        CommonKeys::add(unknown_keys.iter().map(|span| self.text(*span)));
        Ok(self)
    }

    /// Whether an object repeats a key. The document then has both values.
    pub(crate) fn repeats_keys(&self) -> bool {
        self.repeats
    }

    /// The whole document.
    pub(crate) fn root(&self) -> JsonValue<'_> {
        self.value(0)
    }

    /// All keys with their values, in document order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (JsonKey<'_>, JsonValue<'_>)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(n, node)| Some((self.key(node)?, self.value(n + 1))))
    }

    /// All texts that are values, in document order. `true`: the source spells it with an escape; otherwise it is a part of
    /// the source.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, bool)> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Text(span) => Some((self.text(*span), false)),
            Node::EscapedText(span) => Some((self.text(*span), true)),
            _ => None,
        })
    }

    /// All texts that are values, joined, with some of the keys between them.
    pub(crate) fn joined_texts(&self) -> &str {
        &self.texts
    }

    /// The ranges of the texts in [`JsonDocument::joined_texts`], in order.
    pub(crate) fn text_ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Text(span) | Node::EscapedText(span) => {
                Some(span.start as usize..span.end as usize)
            }
            _ => None,
        })
    }

    fn value(&self, at: usize) -> JsonValue<'_> {
        JsonValue { document: self, at }
    }

    fn key(&self, node: &Node) -> Option<JsonKey<'_>> {
        let (name, common, is_escaped) = match node {
            Node::CommonKey(key) => (key.name(), Some(*key), false),
            Node::Key(span) => (self.text(*span), None, false),
            Node::EscapedKey(span) => (self.text(*span), None, true),
            _ => return None,
        };
        Some(JsonKey {
            name,
            common,
            is_escaped,
        })
    }

    fn text(&self, span: Span) -> &str {
        let range = span.start as usize..span.end as usize;
        self.texts.get(range).unwrap_or_default()
    }

    /// The index of the node after a value.
    fn end(&self, at: usize) -> usize {
        match self.nodes.get(at) {
            Some(Node::Array(end) | Node::Object(end)) => *end as usize,
            _ => at + 1,
        }
    }

    /// The entries of the object at `start`, up to the node `end`.
    fn entries(
        &self,
        start: usize,
        end: usize,
    ) -> impl Iterator<Item = (JsonKey<'_>, JsonValue<'_>)> {
        let mut at = start + 1;
        std::iter::from_fn(move || {
            let key = self.nodes.get(at).filter(|_| at < end)?;
            let entry = (self.key(key)?, self.value(at + 1));
            at = self.end(at + 1);
            Some(entry)
        })
    }

    fn push_text(&mut self, text: &str) -> Span {
        let start = self.texts.len() as u32;
        self.texts.push_str(text);
        Span {
            start,
            end: self.texts.len() as u32,
        }
    }

    fn next_node(&self) -> u32 {
        self.nodes.len() as u32
    }
}

impl From<&Value> for JsonDocument {
    fn from(value: &Value) -> Self {
        // A value deserializes without an error.
        Self::default().read(value).unwrap_or_default()
    }
}

impl<'d> JsonValue<'d> {
    fn node(self) -> Option<&'d Node> {
        self.document.nodes.get(self.at)
    }

    /// The value of a key, if this is an object that has it.
    pub(crate) fn get(self, key: &str) -> Option<JsonValue<'d>> {
        self.find(key, None)
    }

    /// As [`JsonValue::get`]; much faster where the key is common. `common`: the entry of the key.
    pub(crate) fn find(
        self,
        key: &str,
        common: Option<&'static CommonKey>,
    ) -> Option<JsonValue<'d>> {
        let found = self.keyed_entries().find(|(own, _)| own.is(key, common));
        found.map(|(_, value)| value)
    }

    /// The value at a path of keys: `/author/uuid`.
    pub(crate) fn pointer(self, pointer: &str) -> Option<JsonValue<'d>> {
        let mut keys = pointer.split('/').skip(1);
        keys.try_fold(self, Self::get)
    }

    /// The entries of an object, in their order; none for another value.
    pub(crate) fn entries(self) -> impl Iterator<Item = (&'d str, JsonValue<'d>)> {
        self.keyed_entries().map(|(key, value)| (key.name, value))
    }

    fn keyed_entries(self) -> impl Iterator<Item = (JsonKey<'d>, JsonValue<'d>)> {
        let end = match self.node() {
            Some(Node::Object(end)) => *end as usize,
            _ => 0,
        };
        self.document.entries(self.at, end)
    }

    /// The values of an array, in their order; none for another value.
    pub(crate) fn items(self) -> impl Iterator<Item = JsonValue<'d>> {
        let (document, mut at) = (self.document, self.at + 1);
        let end = match self.node() {
            Some(Node::Array(end)) => *end as usize,
            _ => 0,
        };
        std::iter::from_fn(move || {
            let value = (at < end).then(|| document.value(at));
            at = document.end(at);
            value
        })
    }

    pub(crate) fn as_str(self) -> Option<&'d str> {
        match self.node()? {
            Node::Text(span) | Node::EscapedText(span) => Some(self.document.text(*span)),
            _ => None,
        }
    }

    pub(crate) fn as_number(self) -> Option<Number> {
        match self.node()? {
            Node::Signed(value) => Some((*value).into()),
            Node::Unsigned(value) => Some((*value).into()),
            Node::Float(value) => Number::from_f64(*value),
            _ => None,
        }
    }

    pub(crate) fn as_i64(self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    pub(crate) fn as_u64(self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    pub(crate) fn as_bool(self) -> Option<bool> {
        match self.node()? {
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn is_null(self) -> bool {
        matches!(self.node(), Some(Node::Null))
    }

    pub(crate) fn is_object(self) -> bool {
        matches!(self.node(), Some(Node::Object(_)))
    }

    pub(crate) fn is_array(self) -> bool {
        matches!(self.node(), Some(Node::Array(_)))
    }

    /// The same value as a tree, of which a repeated key has its last value.
    pub(crate) fn to_tree(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Writes JSON without spaces.
impl fmt::Display for JsonValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for JsonValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.node() {
            Some(Node::Bool(value)) => serializer.serialize_bool(*value),
            Some(Node::Signed(value)) => serializer.serialize_i64(*value),
            Some(Node::Unsigned(value)) => serializer.serialize_u64(*value),
            Some(Node::Float(value)) => serializer.serialize_f64(*value),
            Some(Node::Text(span) | Node::EscapedText(span)) => {
                serializer.serialize_str(self.document.text(*span))
            }
            Some(Node::Array(_)) => {
                let mut list = serializer.serialize_seq(None)?;
                self.items()
                    .try_for_each(|item| list.serialize_element(&item))?;
                list.end()
            }
            Some(Node::Object(_)) => {
                let mut object = serializer.serialize_map(None)?;
                self.entries()
                    .try_for_each(|(key, value)| object.serialize_entry(key, &value))?;
                object.end()
            }
            _ => serializer.serialize_unit(),
        }
    }
}

/// Appends the nodes of a value to a document.
struct NodeReader<'a> {
    document: &'a mut JsonDocument,
    common_keys: &'a CommonKeys,
    /// The keys that the table of common keys does not have.
    unknown_keys: &'a mut Vec<Span>,
}

impl NodeReader<'_> {
    fn again(&mut self) -> NodeReader<'_> {
        NodeReader {
            document: self.document,
            common_keys: self.common_keys,
            unknown_keys: self.unknown_keys,
        }
    }

    fn push(self, node: Node) {
        self.document.nodes.push(node);
    }
}

impl<'de> DeserializeSeed<'de> for NodeReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.push(Node::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(Node::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.push(Node::Signed(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(Node::Unsigned(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.push(Node::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<(), E> {
        let span = self.document.push_text(value);
        self.push(Node::Text(span));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        let span = self.document.push_text(value);
        self.push(Node::EscapedText(span));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        let start = self.document.nodes.len();
        self.document.nodes.push(Node::Array(0));
        while values.next_element_seed(self.again())?.is_some() {}
        let end = self.document.next_node();
        if let Some(node) = self.document.nodes.get_mut(start) {
            *node = Node::Array(end);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let start = self.document.nodes.len();
        self.document.nodes.push(Node::Object(0));
        let mut known = KnownKeys::default();
        while entries.next_key_seed(KeyReader(self.again()))?.is_some() {
            self.document.repeats |= known.is_repeated(self.document, start);
            entries.next_value_seed(self.again())?;
        }
        let end = self.document.next_node();
        if let Some(node) = self.document.nodes.get_mut(start) {
            *node = Node::Object(end);
        }
        Ok(())
    }
}

/// Appends the node of a key.
struct KeyReader<'a>(NodeReader<'a>);

impl<'de> DeserializeSeed<'de> for KeyReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeyReader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<(), E> {
        let node = match self.0.common_keys.get(key) {
            Some(common) => Node::CommonKey(common),
            None => {
                let span = self.0.document.push_text(key);
                self.0.unknown_keys.push(span);
                Node::Key(span)
            }
        };
        self.0.push(node);
        Ok(())
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        let span = self.0.document.push_text(key);
        self.0.push(Node::EscapedKey(span));
        Ok(())
    }
}

/// The number of keys of an object that are compared one by one.
const FEW_KEYS: usize = 64;

/// The keys of one object, to notice a repeated one.
#[derive(Default)]
struct KnownKeys {
    count: usize,
    /// The set of their digests.
    digests: u64,
    /// All keys, of an object that has many.
    keys: HashSet<String>,
}

impl KnownKeys {
    /// Whether the last node, a key of the object at `start`, repeats one of it.
    fn is_repeated(&mut self, document: &JsonDocument, start: usize) -> bool {
        let last = document.nodes.len().saturating_sub(1);
        let Some(key) = document.nodes.last().and_then(|node| document.key(node)) else {
            return false;
        };
        self.count += 1;
        if self.count > FEW_KEYS {
            if self.keys.is_empty() {
                let before = document.entries(start, last);
                self.keys = before.map(|(key, _)| key.name.to_owned()).collect();
            }
            return !self.keys.insert(key.name.to_owned());
        }
        let digest = 1 << (digest(key.name) % 64);
        let is_possible = self.digests & digest != 0;
        self.digests |= digest;
        let mut before = document.entries(start, last);
        is_possible && before.any(|(one, _)| one.is(key.name, key.common))
    }
}

/// Return a digest by the length and the ends of a key.
fn digest(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let (first, last) = (bytes.first(), bytes.last());
    let ends = first
        .zip(last)
        .map_or(0, |(first, last)| 7 * u64::from(*first) + u64::from(*last));
    ends + 13 * bytes.len() as u64
}
