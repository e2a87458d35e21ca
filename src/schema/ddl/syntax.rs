//! Names, texts and types as each target spells them.

use datafusion::arrow::datatypes::DataType;

use super::DdlDialect;
use crate::error::{Error, ErrorKind, Result};

/// SqlSyntax that one target or another does not take as a bare name.
const RESERVED: &str = "\
    all alter analyze and any array as asc at authorization between both by case cast check collate column \
    constraint create cross cube current date default delete delta desc distinct do drop else end enum except exists \
    explicit false fetch for foreign from full function grant group groups hash having identity if ignore in inner \
    insert intersect interval into is join lateral leading left like limit lock merge minus natural new no not null \
    nulls of off offset old on only open or order outer over partition percent permissions primary range raw \
    recursive references respect right rollup row rows select set some start struct system table tag then timestamp \
    to top trailing treat trigger true union unique unnest update user using values view when where window with \
    within";

/// Snowflake's own: elsewhere quotes more than needed do no harm, there they make a name of small letters, which
/// nobody finds without quotes.
const RESERVED_SNOWFLAKE: &str = "\
    account all alter and any as between by case cast check column connect connection constraint create cross \
    current database delete distinct drop else exists false following for from full grant group having ilike in \
    increment inner insert intersect into is issue join lateral left like minus natural not null of on or order \
    organization qualify regexp revoke right rlike row rows sample schema select set some start table tablesample \
    then to trigger true union unique update using values view when whenever where with";

#[derive(Debug, Clone, Copy)]
pub(super) struct SqlSyntax<'a> {
    pub(super) target: DdlDialect,
    pub(super) prefix: &'a str,
}

impl SqlSyntax<'_> {
    /// Whether a name only means itself in quotes.
    pub(super) fn needs_quotes(&self, name: &str) -> bool {
        let mut characters = name.chars();
        let plain = characters
            .next()
            .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
            && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let reserved = match self.target {
            // dbt's file serves every warehouse, and only Snowflake minds quotes more than needed.
            DdlDialect::Snowflake | DdlDialect::Dbt => is_among(name, RESERVED_SNOWFLAKE),
            // Hive takes no bare name that begins with an underscore.
            DdlDialect::Athena => true,
            _ => is_among(name, RESERVED),
        };
        reserved || !plain
    }

    /// A column, schema or table, in quotes where it needs them.
    pub(super) fn name(&self, name: &str) -> String {
        match self.target {
            _ if !self.needs_quotes(name) => name.to_owned(),
            DdlDialect::BigQuery => format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")),
            DdlDialect::Databricks | DdlDialect::Athena => format!("`{}`", name.replace('`', "``")),
            _ => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    pub(super) fn schema(&self, layer: &str) -> String {
        self.name(&format!("{}{layer}", self.prefix))
    }

    pub(super) fn table(&self, layer: &str, table: &str) -> String {
        format!("{}.{}", self.schema(layer), self.name(table))
    }

    /// A literal.
    pub(super) fn text(&self, text: &str) -> String {
        let escaped = match self.target {
            DdlDialect::BigQuery | DdlDialect::Databricks | DdlDialect::Athena => text
                .replace('\\', "\\\\")
                .replace('\'', "\\'")
                .replace('\n', "\\n"),
            DdlDialect::Snowflake | DdlDialect::Redshift => {
                text.replace('\\', "\\\\").replace('\'', "''")
            }
            _ => text.replace('\'', "''"),
        };
        format!("'{escaped}'")
    }

    /// Literals, separated by commas.
    pub(super) fn texts<T: AsRef<str>>(&self, texts: &[T]) -> String {
        let texts: Vec<_> = texts.iter().map(|text| self.text(text.as_ref())).collect();
        texts.join(", ")
    }

    /// A column's type. Where nested types would have to be declared and could not grow, open ones stand for them.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for a type that no contract can have.
    pub(super) fn type_of(&self, data_type: &DataType) -> Result<String> {
        let (snowflake, bigquery, redshift, spark, duckdb, postgres) = match data_type {
            DataType::Utf8 => (
                "VARCHAR",
                "STRING",
                "VARCHAR(MAX)",
                "STRING",
                "VARCHAR",
                "text",
            ),
            DataType::Int64 => ("BIGINT", "INT64", "BIGINT", "BIGINT", "BIGINT", "bigint"),
            DataType::Float64 => (
                "DOUBLE",
                "FLOAT64",
                "DOUBLE PRECISION",
                "DOUBLE",
                "DOUBLE",
                "double precision",
            ),
            DataType::Boolean => (
                "BOOLEAN", "BOOL", "BOOLEAN", "BOOLEAN", "BOOLEAN", "boolean",
            ),
            DataType::Date32 => ("DATE", "DATE", "DATE", "DATE", "DATE", "date"),
            DataType::Timestamp(..) => (
                "TIMESTAMP_TZ",
                "TIMESTAMP",
                "TIMESTAMPTZ",
                "TIMESTAMP",
                "TIMESTAMPTZ",
                "timestamptz",
            ),
            DataType::List(_) => ("ARRAY", "", "SUPER", "", "", "jsonb"),
            DataType::Struct(_) => ("OBJECT", "", "SUPER", "", "", "jsonb"),
            other => {
                return Err(
                    Error::new(ErrorKind::Internal, "a type without syntax for it")
                        .with("type", other),
                );
            }
        };
        let word = match self.target {
            DdlDialect::Snowflake => snowflake,
            DdlDialect::BigQuery => bigquery,
            DdlDialect::Redshift => redshift,
            DdlDialect::Databricks | DdlDialect::Athena => spark,
            DdlDialect::DuckDb | DdlDialect::Dbt => duckdb,
            DdlDialect::Postgres => postgres,
        };
        match data_type {
            _ if !word.is_empty() => Ok(word.to_owned()),
            DataType::List(item) => {
                let item = self.type_of(item.data_type())?;
                Ok(match self.target {
                    DdlDialect::DuckDb | DdlDialect::Dbt => format!("{item}[]"),
                    _ => format!("ARRAY<{item}>"),
                })
            }
            DataType::Struct(fields) => {
                let colon = match self.target {
                    DdlDialect::Databricks | DdlDialect::Athena => ":",
                    _ => "",
                };
                let fields = fields
                    .iter()
                    .map(|field| {
                        let data_type = self.type_of(field.data_type())?;
                        Ok(format!("{}{colon} {data_type}", self.name(field.name())))
                    })
                    .collect::<Result<Vec<_>>>()?
                    .join(", ");
                Ok(match self.target {
                    DdlDialect::DuckDb | DdlDialect::Dbt => format!("STRUCT({fields})"),
                    _ => format!("STRUCT<{fields}>"),
                })
            }
            _ => Ok(word.to_owned()),
        }
    }
}

fn is_among(name: &str, syntax: &str) -> bool {
    syntax.split(' ').any(|word| word == name)
}

/// The `key=value` folders of a file, in their order, keys and values as they are in the path.
pub(super) fn partition(file: &str) -> Vec<(&str, &str)> {
    let folders = file.split('/').filter_map(|part| part.split_once('='));
    folders.collect()
}
