//! Rewrites a parsed query in place as a dialect's [`DialectRules`] say.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DateTimeField, Distinct, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident, Interval, NamedWindowExpr,
    ObjectName, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, SetQuantifier,
    TableFactor, Value, VisitorMut, WindowType,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::nested;
use super::qualify::qualify_as_subquery;
use super::rules::{COMMON_FUNCTIONS, Construct, DialectRules, FunctionRule, expand};
use crate::error::{Error, ErrorKind, OrError, Result};

/// A visitor that rewrites a query for one dialect.
pub(super) struct DialectRewriter {
    rules: &'static DialectRules,
    notes: BTreeSet<&'static str>,
}

impl DialectRewriter {
    pub(super) fn new(rules: &'static DialectRules) -> Self {
        Self {
            rules,
            notes: BTreeSet::new(),
        }
    }

    /// Return the differences from the original that a reader of the rewritten query must know.
    pub(super) fn notes(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.notes.iter().copied()
    }

    /// Return the replacement of `expr`; `None` if `expr` is valid in the dialect, or was changed in place.
    fn rewrite(&mut self, expr: &mut Expr) -> Result<Option<Expr>> {
        let text = match &mut *expr {
            Expr::Function(function) => return self.rewrite_function(function),
            Expr::Extract {
                field: DateTimeField::Epoch,
                expr,
                ..
            } => match self.rules.epoch {
                Some(template) => expand(template, &[expr.to_string()]),
                None => return Ok(None),
            },
            Expr::Extract { field, .. } => match field {
                DateTimeField::Year
                | DateTimeField::Quarter
                | DateTimeField::Month
                | DateTimeField::Day
                | DateTimeField::Hour => return Ok(None),
                field => return Err(unsupported(format!("extract({field} FROM …)"))),
            },
            Expr::Cast {
                expr,
                data_type: DataType::Interval { .. },
                ..
            } => self.rewrite_computed_interval(expr)?,
            Expr::Cast {
                kind, data_type, ..
            } => {
                if *kind == CastKind::TryCast && !self.rules.has(Construct::TryCast) {
                    match self.rules.has(Construct::SafeCast) {
                        true => *kind = CastKind::SafeCast,
                        false => return Err(unsupported(expr.to_string())),
                    }
                }
                *data_type = self.rewrite_type(data_type)?;
                return Ok(None);
            }
            Expr::IsNotDistinctFrom(a, b) if !self.rules.has(Construct::DistinctFrom) => {
                format!(
                    "(CASE WHEN {a} = {b} OR ({a} IS NULL AND {b} IS NULL) THEN TRUE ELSE FALSE END)"
                )
            }
            Expr::IsDistinctFrom(a, b) if !self.rules.has(Construct::DistinctFrom) => {
                format!(
                    "(CASE WHEN {a} = {b} OR ({a} IS NULL AND {b} IS NULL) THEN FALSE ELSE TRUE END)"
                )
            }
            Expr::Value(value) => match (&value.value, self.rules.decimal) {
                (Value::Number(number, _), Some(template)) if number.contains('.') => {
                    expand(template, std::slice::from_ref(number))
                }
                _ => return Ok(None),
            },
            Expr::Interval(interval) => self.rewrite_interval(interval)?,
            Expr::Array(array) => nested::list(self.rules.nested.as_ref(), array)?,
            Expr::CompoundFieldAccess { root, access_chain } => {
                nested::access(self.rules.nested.as_ref(), root, access_chain)?
            }
            Expr::Dictionary(_) | Expr::Lambda(_) => return Err(unsupported(expr.to_string())),
            _ => return Ok(None),
        };
        Ok(Some(raw(text)))
    }

    fn rewrite_interval(&self, interval: &Interval) -> Result<String> {
        let words = match (&*interval.value, &interval.leading_field) {
            (Expr::Value(value), None) => value.value.clone().into_string().unwrap_or_default(),
            (value, Some(field)) => format!("{value} {field}").replace('\'', ""),
            (value, None) => value.to_string(),
        };
        let mut words = words.split_whitespace();
        let (Some(n), Some(unit), None) = (words.next(), words.next(), words.next()) else {
            return Err(unsupported(interval.to_string()));
        };
        let unit = unit.to_uppercase();
        let unit = unit.strip_suffix('S').unwrap_or(&unit);
        Ok(expand(
            self.rules.interval,
            &[n.to_owned(), unit.to_owned()],
        ))
    }

    /// Rewrite `cast(n || ' seconds' AS interval)`.
    fn rewrite_computed_interval(&self, text: &Expr) -> Result<String> {
        if let (
            Expr::BinaryOp {
                left,
                op: BinaryOperator::StringConcat,
                right,
            },
            Some(template),
        ) = (text, self.rules.seconds)
            && right.to_string() == "' seconds'"
        {
            return Ok(expand(template, &[left.to_string()]));
        }
        Err(unsupported(format!("cast({text} AS interval)")))
    }

    fn rewrite_type(&self, from: &DataType) -> Result<DataType> {
        let portable = from.to_string().to_uppercase();
        let name = self.rules.types.translate(&portable);
        let name = name.ok_or_else(|| unsupported(format!("cast(… AS {portable})")))?;
        Ok(DataType::Custom(
            ObjectName::from(Ident::new(name)),
            Vec::new(),
        ))
    }

    fn rewrite_function(&mut self, function: &mut Function) -> Result<Option<Expr>> {
        let name = function.name.to_string().to_lowercase();
        let rule = self.rules.functions.iter().find(|(it, _)| *it == name);
        if let Some((_, FunctionRule::ComputeCall(write))) = rule {
            let text = write(function).filter(|_| function.over.is_none());
            let text = text.ok_or_else(|| unsupported(function.to_string()))?;
            return Ok(Some(raw(text)));
        }
        if function.filter.is_some() && !self.rules.has(Construct::Filter) {
            replace_filter_by_case(function);
        }
        if let Some(WindowType::WindowSpec(window)) = &mut function.over {
            self.set_null_order(&mut window.order_by);
        }
        if self.rules.has(Construct::IgnoreNullsOutside) {
            move_null_treatment_outside(function);
        }
        if COMMON_FUNCTIONS.contains(&name.as_str()) {
            return Ok(None);
        }
        let (_, rule) = rule.ok_or_else(|| unsupported(format!("{name}(…)")))?;
        let arguments = arguments(function);
        if name == "regexp_replace" && !replaces_every_match(&arguments) {
            return Err(unsupported(format!("{function} (only the first match)")));
        }
        let text = match rule {
            FunctionRule::Keep => return Ok(None),
            FunctionRule::Rename(name) => {
                rename(function, name);
                return Ok(None);
            }
            FunctionRule::ListAgg => {
                rename(function, "LISTAGG");
                move_order_within_group(function);
                return Ok(None);
            }
            FunctionRule::ApproximatePercentile(write) => {
                self.notes
                    .insert("percentiles and medians are approximate here, and not interpolated.");
                let text = match (arguments.first(), function.within_group.first()) {
                    (Some(fraction), Some(by)) => write(function, &by.expr.to_string(), fraction),
                    (Some(expression), None) => write(function, expression, "0.5"),
                    (None, _) => None,
                };
                let text = text.ok_or_else(|| unsupported(function.to_string()))?;
                return Ok(Some(raw(text)));
            }
            FunctionRule::Template(template) => Some(expand(template, &arguments)),
            FunctionRule::Compute(write) => write(&arguments),
            FunctionRule::ComputeCall(_) => None,
        };
        match text {
            Some(text) if function.over.is_none() => Ok(Some(raw(text))),
            _ => Err(unsupported(function.to_string())),
        }
    }

    /// Write the order of nulls explicitly if the dialect's default differs from DataFusion's: last in ascending order,
    /// first in descending order.
    fn set_null_order(&self, order: &mut [OrderByExpr]) {
        if self.rules.sorts_nulls_as_largest {
            return;
        }
        for by in order {
            let is_descending = by.options.asc == Some(false);
            by.options.nulls_first.get_or_insert(is_descending);
        }
    }

    fn rewrite_set(&self, set: &mut SetExpr) -> Result<()> {
        match set {
            SetExpr::Values(_) if !self.rules.has(Construct::Values) => Err(unsupported("VALUES")),
            SetExpr::SetOperation {
                set_quantifier,
                left,
                right,
                ..
            } => {
                if *set_quantifier == SetQuantifier::None
                    && !self.rules.has(Construct::ImplicitDistinct)
                {
                    *set_quantifier = SetQuantifier::Distinct;
                }
                self.rewrite_set(left)?;
                self.rewrite_set(right)
            }
            _ => Ok(()),
        }
    }

    /// Rewrite a SELECT whose expressions are rewritten.
    fn rewrite_select(&self, select: &mut Select) -> Result<()> {
        nested::unnest_in_from(self.rules.nested.as_ref(), select)?;
        if !self.rules.has(Construct::Qualify) {
            qualify_as_subquery(select)?;
        }
        self.check_select(select)
    }

    /// Refuse the clauses of a SELECT that the dialect lacks.
    fn check_select(&self, select: &Select) -> Result<()> {
        if matches!(select.distinct, Some(Distinct::On(_))) {
            return Err(unsupported("DISTINCT ON"));
        }
        for item in &select.projection {
            let options = match item {
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                    options
                }
                _ => continue,
            };
            if options.to_string() != "" {
                return Err(unsupported(item.to_string()));
            }
        }
        Ok(())
    }
}

pub(super) fn unsupported(construct: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::Usage,
        "this query uses a construct that the dialect does not support",
    )
    .with("construct", construct.into())
    .hint("print the query without --dialect and translate this construct by hand")
}

/// Return an expression of SQL text.
pub(super) fn raw(text: String) -> Expr {
    Expr::Identifier(Ident::new(text))
}

/// Parse the text of a SELECT whose parts the caller replaces.
pub(super) fn parsed_select(sql: &str) -> Result<Select> {
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_query())
        .or_error(ErrorKind::Internal, "cannot parse generated SQL")?;
    match *parsed.body {
        SetExpr::Select(select) => Ok(*select),
        _ => Err(Error::new(
            ErrorKind::Internal,
            "generated SQL is not a SELECT",
        )),
    }
}

/// Turn `last_value(x IGNORE NULLS)` into `last_value(x) IGNORE NULLS`.
fn move_null_treatment_outside(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else {
        return;
    };
    for clause in std::mem::take(&mut list.clauses) {
        match clause {
            FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                function.null_treatment = Some(treatment);
            }
            other => list.clauses.push(other),
        }
    }
}

fn rename(function: &mut Function, name: &str) {
    function.name = ObjectName::from(Ident::new(name));
}

fn arguments(function: &Function) -> Vec<String> {
    match &function.args {
        FunctionArguments::List(list) => list.args.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// Return whether `regexp_replace` replaces every match, as in the warehouses, or can match only once.
fn replaces_every_match(arguments: &[String]) -> bool {
    let argument = |n: usize| arguments.get(n).map_or("", String::as_str);
    let (pattern, flags) = (argument(1), argument(3));
    let start = pattern
        .strip_prefix("'(?i)")
        .or_else(|| pattern.strip_prefix('\''));
    let is_anchored = start.is_some_and(|it| it.starts_with('^')) || pattern.ends_with("$'");
    flags == "'g'" || (flags.is_empty() && is_anchored)
}

/// Turn `f(x ORDER BY y)` into `f(x) WITHIN GROUP (ORDER BY y)`.
fn move_order_within_group(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else {
        return;
    };
    for clause in std::mem::take(&mut list.clauses) {
        match clause {
            FunctionArgumentClause::OrderBy(by) => function.within_group = by,
            other => list.clauses.push(other),
        }
    }
}

/// Turn `sum(x) FILTER (WHERE c)` into `sum(CASE WHEN c THEN x END)`.
fn replace_filter_by_case(function: &mut Function) {
    let Some(condition) = function.filter.take() else {
        return;
    };
    let guarded = |value: &str| raw(format!("CASE WHEN {condition} THEN {value} END"));
    if let Some(by) = function.within_group.first_mut() {
        by.expr = guarded(&by.expr.to_string());
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else {
        return;
    };
    if let Some(FunctionArg::Unnamed(argument)) = list.args.first_mut() {
        *argument = FunctionArgExpr::Expr(match argument {
            FunctionArgExpr::Expr(inner) => guarded(&inner.to_string()),
            _ => guarded("1"),
        });
    }
}

/// Turn `(VALUES …) AS t(a, b)` into a union of SELECTs that name the columns.
fn replace_values_by_selects(table: &mut TableFactor) -> Result<()> {
    let TableFactor::Derived {
        subquery,
        alias: Some(alias),
        ..
    } = table
    else {
        return Ok(());
    };
    let SetExpr::Values(values) = subquery.body.as_ref() else {
        return Ok(());
    };
    let names: Vec<_> = alias.columns.drain(..).map(|column| column.name).collect();
    let selects = values.rows.iter().map(|row| {
        let cells = row.iter().zip(&names);
        let cells: Vec<_> = cells
            .map(|(cell, name)| format!("{cell} AS {name}"))
            .collect();
        format!("SELECT {}", cells.join(", "))
    });
    let text = selects.collect::<Vec<_>>().join(" UNION ALL ");
    *subquery = Parser::new(&GenericDialect {})
        .try_with_sql(&text)
        .and_then(|mut parser| parser.parse_query())
        .or_error(ErrorKind::Internal, "cannot parse generated SQL")?;
    Ok(())
}

fn to_flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for DialectRewriter {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match self.rewrite(expr) {
            Ok(Some(rewritten)) => *expr = rewritten,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if !self.rules.has(Construct::CteColumns) {
            // The first SELECT names the columns.
            for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
                cte.alias.columns.clear();
            }
        }
        let kind = query.order_by.as_mut().map(|by| &mut by.kind);
        if let Some(OrderByKind::Expressions(by)) = kind {
            self.set_null_order(by);
        }
        to_flow(self.rewrite_set(&mut query.body))
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(window) = &mut window.1 {
                self.set_null_order(&mut window.order_by);
            }
        }
        to_flow(self.rewrite_select(select))
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        if !self.rules.has(Construct::Values)
            && let Err(error) = replace_values_by_selects(table)
        {
            return ControlFlow::Break(error);
        }
        match table {
            TableFactor::Table { args: None, .. }
            | TableFactor::Derived { lateral: false, .. }
            | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            other => ControlFlow::Break(unsupported(other.to_string())),
        }
    }
}
