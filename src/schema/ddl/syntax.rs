//! The syntax in which the warehouses differ: quotes, literals, types, comments and keys.

use datafusion::arrow::datatypes::DataType;

use super::script::FILE_COLUMN;
use crate::error::{Error, ErrorKind, Result};

/// Words that at least one warehouse does not accept as a name without quotes.
const RESERVED: &str = "\
    all alter analyze and any array as asc at authorization between both by case cast check collate column \
    constraint create cross cube current date default delete delta desc distinct do drop else end enum except exists \
    explicit false fetch for foreign from full function grant group groups hash having identity if ignore in inner \
    insert intersect interval into is join lateral leading left like limit lock merge minus natural new no not null \
    nulls of off offset old on only open or order outer over partition percent permissions primary range raw \
    recursive references respect right rollup row rows select set some start struct system table tag then timestamp \
    to top trailing treat trigger true union unique unnest update user using values view when where window with \
    within";

/// Return whether a name needs quotes in at least one warehouse.
pub(crate) fn is_reserved_word(name: &str) -> bool {
    has_word(RESERVED, name)
}

/// The dialect of one warehouse. The defaults are those of most warehouses.
pub(super) trait SqlDialect {
    /// Return the names of the scalar types.
    fn scalar_types(&self) -> ScalarTypes;

    /// Return the type of a list. Warehouses in which a declared type cannot gain fields use an open type.
    fn list_type(&self, item: &str) -> String;

    /// Return the type of a struct with these fields (name, type).
    fn struct_type(&self, fields: &[(String, String)]) -> String;

    /// Return whether a name has another meaning without quotes.
    fn is_reserved(&self, name: &str) -> bool {
        has_word(RESERVED, name)
    }

    /// Put a name in quotes.
    fn quote(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// Write a text literal.
    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    /// Return the clause of a column's definition that has its description, a literal.
    fn column_comment(&self, _description: &str) -> String {
        String::new()
    }

    /// Return the clauses after a table's columns; `description` is a literal.
    fn table_options(&self, _description: &str) -> String {
        String::new()
    }

    /// Return whether descriptions are statements of their own (`COMMENT ON`).
    fn has_comment_statements(&self) -> bool {
        false
    }

    /// Return the constraint of the primary key; `None` for a table without one.
    fn primary_key(&self, columns: &str) -> Option<String> {
        Some(format!("PRIMARY KEY ({columns})"))
    }

    /// Return the clause of `ALTER TABLE` that adds a column.
    fn add_column(&self, definition: &str) -> String {
        format!("ADD COLUMN IF NOT EXISTS {definition}")
    }

    /// Return the name of a table in the statements that delete and insert rows.
    fn loaded_table(&self, name: String) -> String {
        name
    }

    /// Return an expression for a row's file as a path below the lake. `folder`: the folder of the table.
    fn file_path(&self, _folder: &str) -> String {
        FILE_COLUMN.to_owned()
    }

    /// Return the clause with which `DELETE` removes all rows.
    fn delete_all_condition(&self) -> &'static str {
        ""
    }

    /// Return whether the warehouse can read from a location.
    fn can_read(&self, location: &str) -> bool;

    /// Return a location that the warehouse can read from, for an error.
    fn example_location(&self) -> &'static str;

    /// Return the instructions to run a load script, as lines of comments.
    fn instructions(&self) -> &'static [&'static str];

    /// Return the way to give the warehouse access to a location, as a line of a comment.
    fn access(&self, _location: &str) -> Option<&'static str> {
        None
    }
}

/// The names of a dialect's scalar types.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScalarTypes {
    pub(super) text: &'static str,
    pub(super) integer: &'static str,
    pub(super) double: &'static str,
    pub(super) boolean: &'static str,
    pub(super) date: &'static str,
    pub(super) timestamp: &'static str,
}

/// A dialect with the script's prefix of schemas.
#[derive(Clone, Copy)]
pub(super) struct SqlSyntax<'a> {
    pub(super) dialect: &'a dyn SqlDialect,
    pub(super) schema_prefix: &'a str,
}

impl SqlSyntax<'_> {
    /// Return whether a name must be put in quotes.
    pub(super) fn needs_quotes(&self, name: &str) -> bool {
        let mut characters = name.chars();
        let is_plain = characters
            .next()
            .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
            && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        self.dialect.is_reserved(name) || !is_plain
    }

    /// Write the name of a column, schema or table, in quotes if needed.
    pub(super) fn name(&self, name: &str) -> String {
        if self.needs_quotes(name) {
            self.dialect.quote(name)
        } else {
            name.to_owned()
        }
    }

    /// Write the name of a layer's schema.
    pub(super) fn schema(&self, layer: &str) -> String {
        self.name(&format!("{}{layer}", self.schema_prefix))
    }

    /// Write the name of a table with its schema.
    pub(super) fn table(&self, layer: &str, table: &str) -> String {
        format!("{}.{}", self.schema(layer), self.name(table))
    }

    /// Write a text literal.
    pub(super) fn text(&self, text: &str) -> String {
        self.dialect.literal(text)
    }

    /// Write text literals, separated by commas.
    pub(super) fn texts<T: AsRef<str>>(&self, texts: &[T]) -> String {
        let texts: Vec<_> = texts.iter().map(|text| self.text(text.as_ref())).collect();
        texts.join(", ")
    }

    /// Write text literals; several are written one on a line.
    pub(super) fn text_lines<T: AsRef<str>>(&self, texts: &[T]) -> String {
        match texts {
            [] | [_] => self.texts(texts),
            _ => {
                let lines: Vec<_> = texts.iter().map(|text| self.text(text.as_ref())).collect();
                format!("\n    {}", lines.join(",\n    "))
            }
        }
    }

    /// Write the type of a column.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for a type that no contract has.
    pub(super) fn type_of(&self, data_type: &DataType) -> Result<String> {
        let scalars = self.dialect.scalar_types();
        let scalar = match data_type {
            DataType::Utf8 => scalars.text,
            DataType::Int64 => scalars.integer,
            DataType::Float64 => scalars.double,
            DataType::Boolean => scalars.boolean,
            DataType::Date32 => scalars.date,
            DataType::Timestamp(..) => scalars.timestamp,
            DataType::List(item) => {
                return Ok(self.dialect.list_type(&self.type_of(item.data_type())?));
            }
            DataType::Struct(fields) => {
                let fields = fields
                    .iter()
                    .map(|field| Ok((self.name(field.name()), self.type_of(field.data_type())?)))
                    .collect::<Result<Vec<_>>>()?;
                return Ok(self.dialect.struct_type(&fields));
            }
            other => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "the dialect has no type for a column",
                )
                .with("type", other));
            }
        };
        Ok(scalar.to_owned())
    }
}

/// Return whether a list of words, separated by spaces, contains `word`.
pub(super) fn has_word(words: &str, word: &str) -> bool {
    words.split(' ').any(|it| it == word)
}

/// Join the fields of a struct: name, `separator`, type.
pub(super) fn join_fields(fields: &[(String, String)], separator: &str) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, data_type)| format!("{name}{separator}{data_type}"))
        .collect();
    fields.join(", ")
}

/// Return the scheme of an address: `s3` of `s3://bucket`.
pub(super) fn scheme(location: &str) -> Option<&str> {
    location.split_once("://").map(|(scheme, _)| scheme)
}
