//! Replaces `*` and `t.* EXCLUDE (…)` by the names of their columns.
//!
//! Some dialects lack `EXCLUDE`, a replaced `QUALIFY` needs the names of the columns, and a loaded table has columns that
//! the lake's table does not have.

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins,
    WildcardAdditionalOptions,
};

use super::super::TableName;
use super::rules::DialectRules;

/// The columns of a table of the lake; `None` for an unknown table.
pub type ColumnsOf<'a> = dyn Fn(&TableName) -> Option<Vec<String>> + 'a;

/// The names of columns; `None` if a column is unknown.
type Names = Option<Vec<String>>;

/// A replacement of wildcards in a query and its subqueries in FROM.
pub(super) struct WildcardExpander<'a> {
    columns_of: &'a ColumnsOf<'a>,
    /// Whether the wildcards of a SELECT must be replaced.
    is_needed: &'a dyn Fn(&Select) -> bool,
    rules: &'static DialectRules,
    /// The common table expressions in scope, innermost last.
    ctes: Vec<(String, Names)>,
}

impl<'a> WildcardExpander<'a> {
    pub(super) fn new(
        columns_of: &'a ColumnsOf<'a>,
        is_needed: &'a dyn Fn(&Select) -> bool,
        rules: &'static DialectRules,
    ) -> Self {
        Self {
            columns_of,
            is_needed,
            rules,
            ctes: Vec::new(),
        }
    }

    /// Expand the wildcards of a query, and return the names of its columns. A wildcard over unknown columns is not changed.
    pub(super) fn expand(&mut self, query: &mut Query) -> Names {
        let outer = self.ctes.len();
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                let name = cte.alias.name.value.clone();
                let mut columns = listed(&cte.alias);
                if with.recursive {
                    // The first branch, which does not read the expression itself, names the columns.
                    let mut first = cte.query.clone();
                    let own = columns.clone().or_else(|| self.expand(&mut first));
                    self.ctes.push((name.clone(), own));
                    let found = self.expand(&mut cte.query);
                    self.ctes.pop();
                    columns = columns.or(found);
                } else {
                    let found = self.expand(&mut cte.query);
                    columns = columns.or(found);
                }
                self.ctes.push((name, columns));
            }
        }
        let names = self.expand_set(&mut query.body);
        self.ctes.truncate(outer);
        names
    }

    fn expand_set(&mut self, set: &mut SetExpr) -> Names {
        match set {
            SetExpr::Select(select) => self.expand_select(select),
            SetExpr::Query(query) => self.expand(query),
            SetExpr::SetOperation { left, right, .. } => {
                let names = self.expand_set(left);
                self.expand_set(right);
                names
            }
            _ => None,
        }
    }

    fn expand_select(&mut self, select: &mut Select) -> Names {
        let mut tables = Vec::new();
        for table in &mut select.from {
            self.tables(table, &mut tables);
        }
        let is_needed = (self.is_needed)(select);
        let mut items = Vec::new();
        let mut names = Some(Vec::new());
        for item in std::mem::take(&mut select.projection) {
            let expanded = match &item {
                SelectItem::Wildcard(options) => {
                    let all = tables
                        .iter()
                        .map(|(table, columns)| all(table, columns.as_ref(), options));
                    all.collect::<Option<Vec<_>>>().map(|all| all.concat())
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(of),
                    options,
                ) => {
                    let of = last(of);
                    let found = tables.iter().find(|(table, _)| *table == of);
                    found.and_then(|(table, columns)| all(table, columns.as_ref(), options))
                }
                item => {
                    push(&mut names, name_of(item));
                    items.push(item.clone());
                    continue;
                }
            };
            match (&mut names, &expanded) {
                (Some(names), Some(columns)) => {
                    names.extend(columns.iter().map(|(_, name)| name.clone()))
                }
                _ => names = None,
            }
            match expanded {
                Some(columns) if is_needed => {
                    items.extend(columns.into_iter().map(|(table, name)| {
                        let parts =
                            [Ident::new(table), identifier(&name, self.rules.is_reserved)].into();
                        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts))
                    }))
                }
                _ => items.push(item),
            }
        }
        select.projection = items;
        names
    }

    /// Add the tables of a FROM clause with their columns, in the order of `*`.
    fn tables(&mut self, from: &mut TableWithJoins, tables: &mut Vec<(String, Names)>) {
        self.table(&mut from.relation, tables);
        for join in &mut from.joins {
            let before = tables.len();
            self.table(&mut join.relation, tables);
            if merges_columns(&join.join_operator) {
                // `*` contains the common columns once.
                tables
                    .iter_mut()
                    .skip(before.saturating_sub(1))
                    .for_each(|(_, columns)| *columns = None);
            }
        }
    }

    fn table(&mut self, table: &mut TableFactor, tables: &mut Vec<(String, Names)>) {
        match table {
            TableFactor::Table { name, alias, .. } => {
                let columns = match name.0.as_slice() {
                    [_] => {
                        let name = last(name);
                        let cte = self.ctes.iter().rev().find(|(cte, _)| *cte == name);
                        cte.and_then(|(_, columns)| columns.clone())
                    }
                    [layer, _] => {
                        let layer = layer.as_ident().map(|ident| ident.value.clone());
                        (self.columns_of)(&TableName::new(layer.unwrap_or_default(), last(name)))
                    }
                    _ => None,
                };
                let alias = alias.as_ref();
                let name = alias.map_or_else(|| last(name), |alias| alias.name.value.clone());
                tables.push((name, columns));
            }
            TableFactor::Derived {
                subquery, alias, ..
            } => {
                let found = self.expand(subquery);
                let alias = alias.as_ref();
                let columns = alias.and_then(listed).or(found);
                let name = alias.map_or_else(String::new, |alias| alias.name.value.clone());
                tables.push((name, columns));
            }
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => self.tables(table_with_joins, tables),
            _ => tables.push((String::new(), None)),
        }
    }
}

/// Return the table and the name of each column that a wildcard stands for.
fn all(
    table: &str,
    columns: Option<&Vec<String>>,
    options: &WildcardAdditionalOptions,
) -> Option<Vec<(String, String)>> {
    let known = WildcardAdditionalOptions {
        opt_exclude: None,
        wildcard_token: options.wildcard_token.clone(),
        ..WildcardAdditionalOptions::default()
    };
    let is_known = WildcardAdditionalOptions {
        opt_exclude: None,
        ..options.clone()
    } == known;
    let excluded = options.opt_exclude.as_ref().map_or_else(Vec::new, excluded);
    let columns = columns.filter(|_| is_known && !table.is_empty())?.iter();
    let kept = columns.filter(|name| !excluded.contains(*name));
    Some(kept.map(|name| (table.to_owned(), name.clone())).collect())
}

fn excluded(exclude: &ExcludeSelectItem) -> Vec<String> {
    match exclude {
        ExcludeSelectItem::Single(name) => vec![last(name)],
        ExcludeSelectItem::Multiple(names) => names.iter().map(last).collect(),
    }
}

fn merges_columns(join: &JoinOperator) -> bool {
    let constraint = match join {
        JoinOperator::Join(on)
        | JoinOperator::Inner(on)
        | JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on)
        | JoinOperator::Right(on)
        | JoinOperator::RightOuter(on)
        | JoinOperator::FullOuter(on) => on,
        _ => return false,
    };
    matches!(
        constraint,
        JoinConstraint::Using(_) | JoinConstraint::Natural
    )
}

fn listed(alias: &TableAlias) -> Names {
    let names = alias.columns.iter().map(|column| column.name.value.clone());
    (!alias.columns.is_empty()).then(|| names.collect())
}

fn push(names: &mut Names, name: Option<String>) {
    match (names.as_mut(), name) {
        (Some(names), Some(name)) => names.push(name),
        _ => *names = None,
    }
}

fn name_of(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.value.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().map(|name| name.value.clone())
        }
        _ => None,
    }
}

fn last(name: &ObjectName) -> String {
    let ident = name.0.last().and_then(|part| part.as_ident());
    ident.map_or_else(String::new, |ident| ident.value.clone())
}

/// Write a name, in quotes if it needs them.
pub(super) fn identifier(name: &str, is_reserved: fn(&str) -> bool) -> Ident {
    match is_reserved(name) {
        true => Ident::with_quote('"', name),
        false => Ident::new(name),
    }
}
