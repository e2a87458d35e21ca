//! Finds the nested fields that a `query` reads: `service['summary']`, `n.points`, `assignments[1]['assignee']`.
//!
//! The type of nested NDJSON comes from its rows. If no row of a file has such a field, the column lacks it, and the
//! query could not be planned without this list.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select, SelectItem,
    Subscript, TableFactor, Value, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::shape::Shape;

/// One element of a path into a nested value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PathStep {
    Field(String),
    Item,
}

/// Return the fields that the query reads, by column. Return none for SQL that does not parse, which planning reports.
pub(super) fn fields_read(query: &str) -> Shape {
    let Ok(statements) = Parser::parse_sql(&GenericDialect {}, query) else {
        return Shape::default();
    };
    let mut found = FieldPathVisitor::default();
    for statement in &statements {
        let _ = statement.visit(&mut found);
    }
    found.shape()
}

#[derive(Default)]
struct FieldPathVisitor {
    /// The names of tables, aliases of tables and CTEs, which are not columns.
    relations: BTreeSet<String>,
    /// Aliases of paths, such as `q` in `unnest(participants) AS q`.
    aliases: BTreeMap<String, Vec<PathStep>>,
    paths: Vec<Vec<PathStep>>,
}

impl FieldPathVisitor {
    fn shape(&self) -> Shape {
        let mut shape = Shape::default();
        for path in &self.paths {
            let path = self.resolve(path);
            if path.len() > 1 {
                path.iter().fold(&mut shape, |shape, step| match step {
                    PathStep::Field(name) => shape.add_field(name),
                    PathStep::Item => shape.add_item(),
                });
            }
        }
        shape
    }

    /// Return the path from its column: without the name of a table, and with aliases replaced.
    fn resolve(&self, path: &[PathStep]) -> Vec<PathStep> {
        let mut path = path.to_vec();
        if let (Some(PathStep::Field(first)), true) = (path.first(), path.len() > 1)
            && self.relations.contains(first)
        {
            path.remove(0);
        }
        // An alias can refer to another alias. Skip aliases already replaced, because one can refer to itself.
        let mut passed = BTreeSet::new();
        while let Some(PathStep::Field(first)) = path.first().cloned()
            && let Some(target) = self.aliases.get(&first)
            && passed.insert(first)
        {
            path.splice(..1, target.iter().cloned());
        }
        path
    }
}

impl Visitor for FieldPathVisitor {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.relations
            .extend(tables.map(|table| table.alias.name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let (name, alias) = match factor {
            TableFactor::Table { name, alias, .. } => (name.0.last(), alias),
            TableFactor::Derived { alias, .. } => (None, alias),
            _ => return ControlFlow::Continue(()),
        };
        let name = name.and_then(|part| part.as_ident());
        let alias = alias.as_ref().map(|alias| &alias.name);
        let names = name.into_iter().chain(alias);
        self.relations
            .extend(names.map(|ident| ident.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { expr, alias } = item
                && let Some(path) = path(expr)
                && path.first() != Some(&PathStep::Field(alias.value.clone()))
            {
                self.aliases.insert(alias.value.clone(), path);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.paths.extend(path(expr));
        ControlFlow::Continue(())
    }
}

fn path(expr: &Expr) -> Option<Vec<PathStep>> {
    match expr {
        Expr::Identifier(name) => Some(vec![PathStep::Field(name.value.clone())]),
        Expr::CompoundIdentifier(names) => Some(
            names
                .iter()
                .map(|name| PathStep::Field(name.value.clone()))
                .collect(),
        ),
        Expr::Nested(inner) => path(inner),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut path = path(root)?;
            for access in access_chain {
                path.push(step(access)?);
            }
            Some(path)
        }
        Expr::Function(function) => {
            let name = function.name.0.last()?.as_ident()?.value.to_lowercase();
            let takes_a_list = name == "unnest"
                || name.starts_with("array_") && name != "array_agg"
                || name.starts_with("list_");
            let FunctionArguments::List(list) = &function.args else {
                return None;
            };
            match list.args.first()? {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(inner)) if takes_a_list => {
                    let mut path = path(inner)?;
                    path.push(PathStep::Item);
                    Some(path)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn step(access: &AccessExpr) -> Option<PathStep> {
    match access {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(PathStep::Field(name.value.clone())),
        AccessExpr::Dot(_) => None,
        AccessExpr::Subscript(Subscript::Slice { .. }) => Some(PathStep::Item),
        AccessExpr::Subscript(Subscript::Index { index }) => match index {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(name) => Some(PathStep::Field(name.clone())),
                _ => Some(PathStep::Item),
            },
            _ => Some(PathStep::Item),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Return the columns that a query would find in files without rows.
    fn columns(query: &str) -> String {
        let fields = Shape::default().fields(&fields_read(query));
        let texts = fields
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()));
        texts.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn fields_are_found_in_every_notation() {
        for query in [
            "SELECT service['summary'] FROM external",
            "SELECT service.summary FROM external",
            "SELECT external.service.summary FROM external",
            "SELECT e.service['summary'] FROM external AS e",
            "WITH e AS (SELECT * FROM external) SELECT id FROM e WHERE lower(e.service.summary) = 'x'",
            "SELECT s['summary'] FROM (SELECT service AS s FROM external) AS t",
        ] {
            assert_eq!(
                columns(query),
                "service Struct(\"summary\": Utf8)",
                "{query}"
            );
        }
    }

    #[test]
    fn lists_are_found_by_index_and_by_list_functions() {
        assert_eq!(
            columns("SELECT assignments[1]['assignee']['summary'] FROM external"),
            "assignments List(Struct(\"assignee\": Struct(\"summary\": Utf8)))"
        );
        assert_eq!(
            columns(
                "SELECT q['user']['name'] FROM (SELECT unnest(people) AS q FROM external) AS t"
            ),
            "people List(Struct(\"user\": Struct(\"name\": Utf8)))"
        );
        assert_eq!(
            columns("SELECT array_to_string(labels, ',') FROM external"),
            "labels List(Utf8)"
        );
    }

    #[test]
    fn plain_columns_and_invalid_sql_have_no_fields() {
        for query in [
            "SELECT id, upper(title) AS t, e.key FROM external AS e",
            "SELECT a AS b, b AS a FROM external",
            "SELECT FROM WHERE",
        ] {
            assert_eq!(columns(query), "", "{query}");
        }
    }
}
