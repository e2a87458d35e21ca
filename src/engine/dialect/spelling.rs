//! The portable subset in a warehouse's words.
//!
//! The warehouses agree on most of it; what they write otherwise is here, one construct after the other.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, DateTimeField, Distinct, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, Ident, NamedWindowExpr, ObjectName, OrderByExpr,
    OrderByKind, Query, Select, SelectItem, SetExpr, SetQuantifier, TableFactor, VisitorMut,
    WindowType,
};

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::Dialect;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Functions that every dialect knows by this name, with this meaning.
const COMMON: [&str; 38] = [
    "abs",
    "any_value",
    "avg",
    "ceil",
    "chr",
    "coalesce",
    "count",
    "cume_dist",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "grouping",
    "lag",
    "last_value",
    "lead",
    "length",
    "ln",
    "lower",
    "lpad",
    "max",
    "min",
    "mod",
    "ntile",
    "nullif",
    "percent_rank",
    "power",
    "rank",
    "replace",
    "reverse",
    "round",
    "row_number",
    "sign",
    "sqrt",
    "substr",
    "sum",
    "trim",
    "upper",
];

pub(super) struct Spelling {
    dialect: Dialect,
    notes: BTreeSet<&'static str>,
}

impl Spelling {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            notes: BTreeSet::new(),
        }
    }

    /// What a reader must know of the text.
    pub(super) fn notes(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.notes.iter().copied()
    }

    fn none(&self, what: impl Into<String>) -> Error {
        Error::new(
            ErrorKind::Usage,
            "the dialect has no words for a part of this query",
        )
        .with("part", what.into())
        .hint("print it without --dialect and translate that part by hand")
    }

    /// `expr` otherwise; `None` where it can stay.
    fn respelt(&mut self, expr: &mut Expr) -> Result<Option<Expr>> {
        use Dialect::{BigQuery, Databricks, Redshift, Snowflake, Trino};
        let text = match (&mut *expr, self.dialect) {
            (Expr::Function(function), _) => return self.function(function),
            (
                Expr::Extract {
                    field: DateTimeField::Epoch,
                    expr,
                    ..
                },
                dialect,
            ) => match dialect {
                Snowflake => format!("(DATE_PART(EPOCH_MICROSECOND, {expr}) / 1000000.0)"),
                BigQuery | Databricks => format!("(UNIX_MICROS({expr}) / 1000000.0)"),
                Trino => format!("TO_UNIXTIME({expr})"),
                Redshift | Dialect::Duckdb => return Ok(None),
            },
            (Expr::Extract { field, .. }, _) => match field {
                DateTimeField::Year
                | DateTimeField::Quarter
                | DateTimeField::Month
                | DateTimeField::Day
                | DateTimeField::Hour => return Ok(None),
                field => return Err(self.none(format!("extract({field} FROM …)"))),
            },
            (
                Expr::Cast {
                    kind: CastKind::Cast,
                    data_type,
                    ..
                },
                _,
            ) => {
                *data_type = self.data_type(data_type)?;
                return Ok(None);
            }
            (Expr::IsNotDistinctFrom(a, b), Redshift) => {
                format!(
                    "(CASE WHEN {a} = {b} OR ({a} IS NULL AND {b} IS NULL) THEN TRUE ELSE FALSE END)"
                )
            }
            (Expr::IsDistinctFrom(a, b), Redshift) => {
                format!(
                    "(CASE WHEN {a} = {b} OR ({a} IS NULL AND {b} IS NULL) THEN FALSE ELSE TRUE END)"
                )
            }
            (Expr::Interval(interval), dialect) => {
                let words = match (&*interval.value, &interval.leading_field) {
                    (Expr::Value(value), None) => {
                        value.value.clone().into_string().unwrap_or_default()
                    }
                    (value, Some(field)) => format!("{value} {field}").replace('\'', ""),
                    (value, None) => value.to_string(),
                };
                let mut words = words.split_whitespace();
                let (Some(n), Some(unit), None) = (words.next(), words.next(), words.next()) else {
                    return Err(self.none(interval.to_string()));
                };
                let unit = unit.to_uppercase();
                let unit = unit.strip_suffix('S').unwrap_or(&unit);
                match dialect {
                    BigQuery => format!("INTERVAL {n} {unit}"),
                    Databricks | Trino => format!("INTERVAL '{n}' {unit}"),
                    _ => format!("INTERVAL '{n} {unit}'"),
                }
            }
            (
                Expr::Array(_)
                | Expr::Dictionary(_)
                | Expr::CompoundFieldAccess { .. }
                | Expr::Lambda(_),
                _,
            ) => {
                return Err(self.none(expr.to_string()));
            }
            _ => return Ok(None),
        };
        Ok(Some(raw(text)))
    }

    fn data_type(&self, from: &DataType) -> Result<DataType> {
        let name = from.to_string().to_uppercase();
        let row = match name.as_str() {
            "VARCHAR" | "TEXT" => ["VARCHAR", "STRING", "VARCHAR(MAX)", "STRING", "VARCHAR"],
            "BIGINT" => ["BIGINT", "INT64", "BIGINT", "BIGINT", "BIGINT"],
            "INTEGER" | "INT" => ["INTEGER", "INT64", "INTEGER", "INT", "INTEGER"],
            "DOUBLE" => ["DOUBLE", "FLOAT64", "DOUBLE PRECISION", "DOUBLE", "DOUBLE"],
            "BOOLEAN" => ["BOOLEAN", "BOOL", "BOOLEAN", "BOOLEAN", "BOOLEAN"],
            "DATE" => ["DATE"; 5],
            "TIMESTAMP" | "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => [
                "TIMESTAMP_TZ",
                "TIMESTAMP",
                "TIMESTAMPTZ",
                "TIMESTAMP",
                "TIMESTAMP WITH TIME ZONE",
            ],
            _ => return Err(self.none(format!("cast(… AS {name})"))),
        };
        let column = Dialect::WAREHOUSES
            .iter()
            .position(|it| *it == self.dialect);
        let name = column.map_or(name.as_str(), |column| row[column]);
        Ok(DataType::Custom(
            ObjectName::from(Ident::new(name)),
            Vec::new(),
        ))
    }

    fn function(&mut self, function: &mut Function) -> Result<Option<Expr>> {
        use Dialect::{BigQuery, Databricks, Redshift, Snowflake, Trino};
        let dialect = self.dialect;
        if function.filter.is_some() && !matches!(dialect, Trino | Databricks) {
            unfilter(function);
        }
        if let Some(WindowType::WindowSpec(window)) = &mut function.over {
            self.order(&mut window.order_by);
        }
        let name = function.name.to_string().to_lowercase();
        let mut given = arguments(function);
        let mut next = || given.next().unwrap_or_default();
        let text = match (name.as_str(), dialect) {
            (name, _) if COMMON.contains(&name) => return Ok(None),
            ("list_contains" | "array_contains", _) => return Err(self.none(function.to_string())),
            ("date_trunc", BigQuery) => {
                let (unit, of) = (next(), next());
                let unit = match unit.trim_matches('\'') {
                    "week" => "ISOWEEK".to_owned(),
                    unit if !unit.contains(|c: char| !c.is_ascii_alphabetic()) => {
                        unit.to_uppercase()
                    }
                    _ => return Err(self.none(function.to_string())),
                };
                let of_date = of.starts_with("CAST(") && of.to_uppercase().ends_with("AS DATE)");
                let name = if of_date {
                    "DATE_TRUNC"
                } else {
                    "TIMESTAMP_TRUNC"
                };
                format!("{name}({of}, {unit})")
            }
            ("date_trunc", _) => return Ok(None),
            ("median", BigQuery | Trino) => return self.approximate(function, &next(), "0.5"),
            ("median", _) => return Ok(None),
            ("percentile_cont", BigQuery | Trino) => {
                let ordered = function.within_group.first().map(|by| by.expr.to_string());
                return self.approximate(function, &ordered.unwrap_or_default(), &next());
            }
            ("percentile_cont", _) => return Ok(None),
            ("bool_or" | "bool_and", Snowflake | BigQuery) => {
                let renamed = match (name.as_str(), dialect) {
                    ("bool_or", Snowflake) => "BOOLOR_AGG",
                    ("bool_and", Snowflake) => "BOOLAND_AGG",
                    ("bool_or", _) => "LOGICAL_OR",
                    _ => "LOGICAL_AND",
                };
                function.name = ObjectName::from(Ident::new(renamed));
                return Ok(None);
            }
            ("bool_or" | "bool_and", _) => return Ok(None),
            ("string_agg", BigQuery) => return Ok(None),
            ("string_agg", _) => {
                function.name = ObjectName::from(Ident::new("LISTAGG"));
                if let FunctionArguments::List(list) = &mut function.args {
                    for clause in std::mem::take(&mut list.clauses) {
                        match clause {
                            FunctionArgumentClause::OrderBy(by) => function.within_group = by,
                            other => list.clauses.push(other),
                        }
                    }
                }
                return Ok(None);
            }
            // Nulls are skipped, as nowhere else.
            ("concat", _) => {
                let parts: Vec<_> = given
                    .map(|part| match part.starts_with('\'') {
                        true => part,
                        false => format!("coalesce({part}, '')"),
                    })
                    .collect();
                format!("({})", parts.join(" || "))
            }
            ("greatest" | "least", Snowflake) => {
                let all: Vec<_> = given.collect();
                format!("{}_IGNORE_NULLS({})", name.to_uppercase(), all.join(", "))
            }
            ("greatest" | "least", BigQuery | Trino) => given
                .reduce(|a, b| format!("coalesce({name}({a}, {b}), {a}, {b})"))
                .unwrap_or_default(),
            ("greatest" | "least", _) => return Ok(None),
            ("split_part", BigQuery) => {
                let (of, by, place) = (next(), next(), next());
                let Ok(place) = place.parse::<u32>() else {
                    return Err(self.none(function.to_string()));
                };
                format!(
                    "coalesce(SPLIT({of}, {by})[SAFE_OFFSET({})], '')",
                    place.saturating_sub(1)
                )
            }
            ("split_part", _) => return Ok(None),
            ("strpos", BigQuery | Redshift | Trino) => return Ok(None),
            ("strpos", _) => {
                let (of, what) = (next(), next());
                format!("POSITION({what} IN {of})")
            }
            ("starts_with" | "ends_with" | "contains", _) => {
                let (of, what) = (next(), next());
                match (name.as_str(), dialect) {
                    ("starts_with", BigQuery | Trino) => format!("STARTS_WITH({of}, {what})"),
                    ("ends_with", BigQuery) => format!("ENDS_WITH({of}, {what})"),
                    ("starts_with", Snowflake | Databricks) => format!("STARTSWITH({of}, {what})"),
                    ("ends_with", Snowflake | Databricks) => format!("ENDSWITH({of}, {what})"),
                    ("contains", Snowflake | Databricks) => format!("CONTAINS({of}, {what})"),
                    ("starts_with", _) => format!("(STRPOS({of}, {what}) = 1)"),
                    ("contains", _) => format!("(STRPOS({of}, {what}) > 0)"),
                    _ => format!("(STRPOS(REVERSE({of}), REVERSE({what})) = 1)"),
                }
            }
            ("regexp_like", _) => {
                let (of, pattern) = (next(), next());
                match dialect {
                    // REGEXP_LIKE is of the whole text there.
                    Snowflake => format!("(REGEXP_INSTR({of}, {pattern}) > 0)"),
                    Redshift => format!("(REGEXP_INSTR({of}, {pattern}, 1, 1, 0, 'p') > 0)"),
                    BigQuery => format!("REGEXP_CONTAINS({of}, {pattern})"),
                    _ => return Ok(None),
                }
            }
            ("regexp_replace", _) => {
                let (of, pattern, by, flags) = (next(), next(), next(), next());
                // The warehouses replace every match.
                let once = pattern.starts_with("'^") || pattern.ends_with("$'");
                if flags != "'g'" && !(flags.is_empty() && once) {
                    return Err(self.none(format!("{function} (only the first match)")));
                }
                match dialect {
                    Redshift => {
                        let by = by.replace('\\', "$");
                        format!("REGEXP_REPLACE({of}, {pattern}, {by}, 1, 'p')")
                    }
                    Databricks | Trino => {
                        let by = by.replace('\\', "$");
                        format!("REGEXP_REPLACE({of}, {pattern}, {by})")
                    }
                    _ => format!("REGEXP_REPLACE({of}, {pattern}, {by})"),
                }
            }
            _ => return Err(self.none(format!("{name}(…)"))),
        };
        match function.over {
            None => Ok(Some(raw(text))),
            Some(_) => Err(self.none(function.to_string())),
        }
    }

    /// Where exact percentiles are no aggregate functions.
    fn approximate(&mut self, function: &Function, of: &str, share: &str) -> Result<Option<Expr>> {
        self.notes
            .insert("percentiles and medians are approximate here, and not interpolated.");
        let text = match (self.dialect, share.parse::<f64>()) {
            (_, Err(_)) => return Err(self.none(function.to_string())),
            (Dialect::Trino, Ok(_)) => {
                let filter = function.filter.as_ref();
                let filter =
                    filter.map_or_else(String::new, |filter| format!(" FILTER (WHERE {filter})"));
                format!("APPROX_PERCENTILE({of}, {share}){filter}")
            }
            (_, Ok(share)) => format!(
                "APPROX_QUANTILES({of}, 1000)[OFFSET({:.0})]",
                share * 1000.0
            ),
        };
        Ok(Some(raw(text)))
    }

    /// Nulls come last in rising and first in falling order; said aloud where the dialect has another rule.
    fn order(&self, by: &mut [OrderByExpr]) {
        if matches!(self.dialect, Dialect::Snowflake | Dialect::Redshift) {
            return;
        }
        for by in by {
            let falls = by.options.asc == Some(false);
            by.options.nulls_first.get_or_insert(falls);
        }
    }

    fn set(&self, set: &mut SetExpr) -> Result<()> {
        if self.dialect != Dialect::BigQuery {
            return Ok(());
        }
        match set {
            SetExpr::Values(_) => Err(self.none("VALUES")),
            SetExpr::SetOperation {
                set_quantifier,
                left,
                right,
                ..
            } => {
                // Not implied there.
                if *set_quantifier == SetQuantifier::None {
                    *set_quantifier = SetQuantifier::Distinct;
                }
                self.set(left)?;
                self.set(right)
            }
            _ => Ok(()),
        }
    }

    /// What a SELECT may hold.
    fn select(&self, select: &Select) -> Result<()> {
        if select.qualify.is_some() && self.dialect == Dialect::Trino {
            return Err(self.none("QUALIFY"));
        }
        if matches!(select.distinct, Some(Distinct::On(_))) {
            return Err(self.none("DISTINCT ON"));
        }
        for item in &select.projection {
            let options = match item {
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                    options
                }
                _ => continue,
            };
            if options.to_string() != "" {
                return Err(self.none(item.to_string()));
            }
        }
        Ok(())
    }
}

/// Text where an expression stands.
fn raw(text: String) -> Expr {
    Expr::Identifier(Ident::new(text))
}

fn arguments(function: &Function) -> std::vec::IntoIter<String> {
    let texts: Vec<_> = match &function.args {
        FunctionArguments::List(list) => list.args.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    texts.into_iter()
}

/// `sum(x) FILTER (WHERE c)` as `sum(CASE WHEN c THEN x END)`.
fn unfilter(function: &mut Function) {
    let Some(condition) = function.filter.take() else {
        return;
    };
    let guarded = |what: &str| raw(format!("CASE WHEN {condition} THEN {what} END"));
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

/// `(VALUES …) AS t(a, b)` as SELECTs, which name the columns themselves.
fn selected(table: &mut TableFactor) -> Result<()> {
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
        .or_error(ErrorKind::Internal, "cannot read rows of our own")?;
    Ok(())
}

impl VisitorMut for Spelling {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match self.respelt(expr) {
            Ok(Some(respelt)) => *expr = respelt,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if self.dialect == Dialect::BigQuery {
            // It takes no column list there; the first SELECT names the columns.
            for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
                cte.alias.columns.clear();
            }
        }
        let kind = query.order_by.as_mut().map(|by| &mut by.kind);
        if let Some(OrderByKind::Expressions(by)) = kind {
            self.order(by);
        }
        match self.set(&mut query.body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(window) = &mut window.1 {
                self.order(&mut window.order_by);
            }
        }
        match self.select(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        if self.dialect == Dialect::BigQuery
            && let Err(error) = selected(table)
        {
            return ControlFlow::Break(error);
        }
        match table {
            TableFactor::Table { args: None, .. }
            | TableFactor::Derived { lateral: false, .. }
            | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            other => ControlFlow::Break(self.none(other.to_string())),
        }
    }
}

/// Quoted names and texts, which sqlparser prints as the standard has them, as `dialect` has them.
pub(super) fn quoted(text: &str, dialect: Dialect) -> String {
    use Dialect::{BigQuery, Databricks, Redshift, Snowflake};
    let mut written = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut inside = None;
    while let Some(c) = characters.next() {
        match (inside, c) {
            (None, '\'' | '"') => {
                inside = Some(c);
                written.push(opening(c, dialect));
            }
            (Some('\''), '\'') if characters.peek() == Some(&'\'') => {
                characters.next();
                written.push_str(match dialect {
                    BigQuery | Databricks => "\\'",
                    _ => "''",
                });
            }
            (Some('\''), '\\')
                if matches!(dialect, BigQuery | Databricks | Redshift | Snowflake) =>
            {
                written.push_str("\\\\");
            }
            (Some(quote), c) if c == quote => {
                inside = None;
                written.push(opening(c, dialect));
            }
            (_, c) => written.push(c),
        }
    }
    written
}

fn opening(quote: char, dialect: Dialect) -> char {
    match (quote, dialect) {
        ('"', Dialect::BigQuery | Dialect::Databricks) => '`',
        _ => quote,
    }
}
