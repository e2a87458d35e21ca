//! Translates the SQL of a step to a model: a SELECT with the columns and types of a contract, over tables that the caller
//! names.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, Statement, TableAlias, TableFactor, Visit, VisitMut, Visitor,
    VisitorMut, With,
};

use super::inline_params::replace_params;
use super::quote::requote;
use super::rules::{StringEscape, TypeNames};
use super::wildcards::{ColumnsOf, WildcardExpander, identifier};
use super::{Dialect, not_one_select, parse_query, rewrite, to_result};
use crate::engine::TableName;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Contract;
use crate::schema::ddl::is_reserved_word;

/// The common table expression that has the step's own rows.
const STEP: &str = "step";

/// The target of a step's translation, beside the dialect.
pub struct StepTranslation<'a> {
    /// The columns and types of the result; `None` for the columns of the query.
    pub contract: Option<&'a Contract>,
    /// The columns of the tables that the step reads.
    pub columns_of: &'a ColumnsOf<'a>,
    /// The text for the name of a table.
    pub table: &'a dyn Fn(&TableName) -> String,
    /// The text for the parameter `$name`, an expression of the dialect.
    pub params: &'a BTreeMap<String, String>,
}

/// Translate the SQL of a step.
///
/// # Errors
/// [`ErrorKind::Usage`]: the text does not parse, or uses a construct that the dialect does not support.
pub fn translate_step(sql: &str, dialect: Dialect, step: &StepTranslation<'_>) -> Result<String> {
    let mut statement = parse_query(sql)?;
    let Some(rules) = dialect.rules() else {
        return duckdb_step(sql, &statement, step);
    };
    let Statement::Query(query) = &mut statement else {
        return Err(not_one_select());
    };
    WildcardExpander::new(step.columns_of, &|_| true, rules).expand(query);
    let notes = rewrite(query, rules, dialect)?;
    let mut names = PlaceholderNames::default();
    to_result(query.visit(&mut names))?;
    if let Some(contract) = step.contract {
        add_casts(query, contract, dialect)?;
    }
    let mut text: String = notes
        .iter()
        .map(|note| format!("-- Note: {note}\n"))
        .collect();
    text += &requote(&format!("{query:#}"), rules);
    for (n, table) in names.tables.iter().enumerate() {
        text = text.replace(&placeholder(n), &(step.table)(table));
    }
    inline(&text, rules.string_escape, step.params)
}

/// Translate the SQL for DuckDB, which only needs other names of tables.
fn duckdb_step(sql: &str, statement: &Statement, step: &StepTranslation<'_>) -> Result<String> {
    let mut places = TablePlaces::default();
    let _ = statement.visit(&mut places);
    let mut lines: Vec<String> = sql.lines().map(str::to_owned).collect();
    places
        .tables
        .sort_by_key(|place| std::cmp::Reverse((place.line, place.start)));
    for TablePlace {
        line,
        start,
        end,
        name,
        alias,
    } in places.tables
    {
        let mut renamed = (step.table)(&name);
        if let Some(alias) = alias {
            renamed += &format!(" AS {alias}");
        }
        let text = lines
            .get_mut(line.saturating_sub(1))
            .ok_or_else(misplaced)?;
        let mut characters: Vec<char> = text.chars().collect();
        if start < 1 || end > characters.len() + 1 || start > end {
            return Err(misplaced());
        }
        characters.splice(start - 1..end - 1, renamed.chars());
        *text = characters.into_iter().collect();
    }
    let body: Vec<_> = lines
        .into_iter()
        .skip_while(|line| line.starts_with("--"))
        .collect();
    let body = inline(&body.join("\n"), StringEscape::Standard, step.params)?;
    let Some(contract) = step.contract else {
        return Ok(body);
    };
    let casts = casts(contract, Dialect::Duckdb)?.join(",\n    ");
    Ok(format!("SELECT\n    {casts}\nFROM (\n{body}\n) AS {STEP}"))
}

fn misplaced() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the name of a table is not where the parser found it",
    )
}

/// Replace each `$name`, but not in strings and comments.
fn inline(text: &str, escape: StringEscape, params: &BTreeMap<String, String>) -> Result<String> {
    replace_params(text, escape, |name| Ok(params.get(name).cloned()))
}

/// Move the query into a last common table expression, and select its columns with the types of the contract.
fn add_casts(query: &mut Box<Query>, contract: &Contract, dialect: Dialect) -> Result<()> {
    let casts = casts(contract, dialect)?.join(", ");
    let sql = format!("WITH {STEP} AS (SELECT 1) SELECT {casts} FROM {STEP}");
    let Statement::Query(mut outer) = parse_query(&sql)? else {
        return Err(not_one_select());
    };
    let with = query.with.take();
    if let Some(outer_with) = &mut outer.with {
        if let (Some(cte), inner) = (outer_with.cte_tables.first_mut(), &mut *query) {
            std::mem::swap(&mut cte.query, inner);
        }
        if let Some(With {
            recursive,
            cte_tables,
            ..
        }) = with
        {
            outer_with.recursive = recursive;
            outer_with.cte_tables.splice(0..0, cte_tables);
        }
    }
    *query = outer;
    Ok(())
}

/// Return `CAST(a AS type) AS a` for each column.
fn casts(contract: &Contract, dialect: Dialect) -> Result<Vec<String>> {
    let columns = contract.columns.iter().map(|column| {
        let is_reserved = dialect
            .rules()
            .map_or(is_reserved_word as fn(&str) -> bool, |rules| {
                rules.is_reserved
            });
        let name = identifier(&column.name, is_reserved);
        let data_type = model_type(&column.data_type, dialect)?;
        Ok(format!("CAST({STEP}.{name} AS {data_type}) AS {name}"))
    });
    columns.collect()
}

/// DuckDB's types.
const DUCKDB: TypeNames = TypeNames {
    varchar: "VARCHAR",
    bigint: "BIGINT",
    integer: "INTEGER",
    double: "DOUBLE",
    boolean: "BOOLEAN",
    timestamp: "TIMESTAMPTZ",
};

/// Return the name of a scalar type in a dialect.
///
/// # Errors
/// [`ErrorKind::Internal`] for a type that no table of a step has.
pub(crate) fn model_type(data_type: &DataType, dialect: Dialect) -> Result<&'static str> {
    let names = dialect.rules().map_or(&DUCKDB, |rules| &rules.types);
    Ok(match data_type {
        DataType::Utf8 => names.varchar,
        DataType::Int64 => names.bigint,
        DataType::Float64 => names.double,
        DataType::Boolean => names.boolean,
        DataType::Date32 => "DATE",
        DataType::Timestamp(..) => names.timestamp,
        other => {
            return Err(Error::new(
                ErrorKind::Internal,
                "a step has a column of a type without a name",
            )
            .with("type", other));
        }
    })
}

fn placeholder(n: usize) -> String {
    format!("__table_{n}__")
}

fn two_parts(name: &ObjectName) -> Option<(&Ident, &Ident)> {
    match name.0.as_slice() {
        [layer, table] => Some((layer.as_ident()?, table.as_ident()?)),
        _ => None,
    }
}

/// Replaces the names of tables by placeholders, which survive the quoting.
#[derive(Default)]
struct PlaceholderNames {
    tables: Vec<TableName>,
}

impl VisitorMut for PlaceholderNames {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::Table { name, alias, .. } = table
            && let Some((layer, table)) = two_parts(name)
        {
            self.tables.push(TableName::new(&layer.value, &table.value));
            // The replacement of the name may be a function call.
            alias.get_or_insert(TableAlias {
                explicit: true,
                name: table.clone(),
                columns: Vec::new(),
                at: None,
            });
            *name = ObjectName::from(Ident::new(placeholder(self.tables.len() - 1)));
        }
        ControlFlow::Continue(())
    }
}

/// Finds the names of tables.
#[derive(Default)]
struct TablePlaces {
    tables: Vec<TablePlace>,
}

/// The position of a table's name: the line, the first column and the column after the name, from 1.
struct TablePlace {
    line: usize,
    start: usize,
    end: usize,
    name: TableName,
    /// The alias that the table needs when it gets another name; `None` if the SQL gives it one.
    alias: Option<String>,
}

impl Visitor for TablePlaces {
    type Break = ();

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, .. } = table
            && let Some((layer, table)) = two_parts(name)
        {
            let alias = alias.is_none().then(|| table.to_string());
            let column = |n: u64| usize::try_from(n).unwrap_or_default();
            let (start, end) = (layer.span.start, table.span.end);
            self.tables.push(TablePlace {
                line: column(start.line),
                start: column(start.column),
                end: column(end.column),
                name: TableName::new(&layer.value, &table.value),
                alias,
            });
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_replaced_as_a_whole_word_outside_of_strings() {
        let params = BTreeMap::from([("run_id".to_owned(), "'{{ id }}'".to_owned())]);
        let step = StepTranslation {
            contract: None,
            columns_of: &|_| None,
            table: &ToString::to_string,
            params: &params,
        };
        let sql =
            "SELECT $run_id AS a, $run_id_x AS b, 'it''s $run_id' AS c, 'a\\' AS d, $run_id AS e";
        for (dialect, string) in [
            (Dialect::Duckdb, "'it''s $run_id'"),
            (Dialect::Trino, "'it''s $run_id'"),
            (Dialect::Snowflake, "'it''s $run_id'"),
            (Dialect::BigQuery, r"'it\'s $run_id'"),
        ] {
            let text = translate_step(sql, dialect, &step).unwrap();
            assert!(text.contains(string), "{text}");
            assert!(text.contains("$run_id_x"), "{text}");
            assert_eq!(text.matches("'{{ id }}'").count(), 2, "{text}");
        }
    }
}
