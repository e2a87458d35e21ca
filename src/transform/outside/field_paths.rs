//! What a `query` takes out of nested values: `service['summary']`, `n.points`, `assignments[1]['assignee']`.
//!
//! A month in which no incident has such a key gives no type for it, and the query would fail for want of one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select, SelectItem,
    Subscript, TableFactor, Value, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::shape::Shape;

/// A step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PathStep {
    Field(String),
    Item,
}

/// What the query looks into, by column. Empty for a text that does not parse: planning it says why.
pub(super) fn field_paths(query: &str) -> Shape {
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
    /// Names of tables, of their aliases and of CTEs: no columns.
    relations: BTreeSet<String>,
    /// Names that a select gives to such a path: `unnest(participants) AS q`.
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

    /// The path from a column, where it begins with the name of a table or with an alias.
    fn resolve(&self, path: &[PathStep]) -> Vec<PathStep> {
        let mut path = path.to_vec();
        if let (Some(PathStep::Field(first)), true) = (path.first(), path.len() > 1)
            && self.relations.contains(first)
        {
            path.remove(0);
        }
        // An alias may stand for another one; one that stands for itself would never end.
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

    /// The columns that a query would find where no row has any.
    fn columns(query: &str) -> String {
        let fields = Shape::default().fields(&field_paths(query));
        let texts = fields
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()));
        texts.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_a_query_looks_into_is_found_in_every_spelling() {
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
    fn lists_are_found_by_their_index_and_by_the_functions_that_take_them() {
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
    fn plain_columns_and_texts_that_do_not_parse_say_nothing() {
        for query in [
            "SELECT id, upper(title) AS t, e.key FROM external AS e",
            "SELECT a AS b, b AS a FROM external",
            "SELECT FROM WHERE",
        ] {
            assert_eq!(columns(query), "", "{query}");
        }
    }
}
