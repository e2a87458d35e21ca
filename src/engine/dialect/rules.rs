//! The properties of a SQL dialect as data, and the expansions that dialects share.

use datafusion::sql::sqlparser::ast::Function;

/// Functions that every dialect provides under the same name with the same meaning.
pub(super) const COMMON_FUNCTIONS: [&str; 38] = [
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

/// The spelling of the portable subset in one warehouse.
pub(super) struct DialectRules {
    pub(super) types: TypeNames,
    /// The translation of each function outside [`COMMON_FUNCTIONS`]. A function that is missing is not supported.
    pub(super) functions: &'static [(&'static str, FunctionRule)],
    /// Template of `extract(epoch FROM {1})`; `None` if the dialect supports it.
    pub(super) epoch: Option<&'static str>,
    /// Template of the number `{1}` with decimal places, which is a double in DataFusion and DuckDB; `None` if such a number
    /// is a double in the dialect, too, or if decimals keep enough places in a division.
    pub(super) decimal: Option<&'static str>,
    /// Template of an interval of `{1}` units `{2}`.
    pub(super) interval: &'static str,
    /// Template of an interval of `{1}` seconds, a text; `None` if the dialect has no interval of a computed length.
    pub(super) seconds: Option<&'static str>,
    /// The access to lists and structs; `None` if loaded tables do not have them as typed values.
    pub(super) nested: Option<NestedRules>,
    pub(super) identifier_quote: char,
    /// Whether a name needs quotes.
    pub(super) is_reserved: fn(&str) -> bool,
    pub(super) string_escape: StringEscape,
    /// The optional constructs that the dialect supports.
    pub(super) constructs: &'static [Construct],
    /// Whether nulls sort as the largest values by default, as in DataFusion.
    pub(super) sorts_nulls_as_largest: bool,
}

impl DialectRules {
    /// Return whether the dialect supports an optional construct.
    pub(super) fn has(&self, construct: Construct) -> bool {
        self.constructs.contains(&construct)
    }
}

/// A construct that some dialects lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Construct {
    /// A list of columns after the name of a CTE.
    CteColumns,
    /// `IS [NOT] DISTINCT FROM`.
    DistinctFrom,
    /// Aggregates with `FILTER (WHERE …)`.
    Filter,
    /// `UNION` without a quantifier, in the meaning of `UNION DISTINCT`.
    ImplicitDistinct,
    /// `last_value(x) IGNORE NULLS`, instead of `last_value(x IGNORE NULLS)`.
    IgnoreNullsOutside,
    /// `QUALIFY`.
    Qualify,
    /// `SAFE_CAST`, in the meaning of `TRY_CAST`.
    SafeCast,
    /// `TRY_CAST`.
    TryCast,
    /// `VALUES` as a table.
    Values,
}

/// How a string literal writes quotes and backslashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StringEscape {
    /// A quote is doubled, a backslash is an ordinary character.
    Standard,
    /// Quotes and backslashes are doubled.
    DoubledBackslash,
    /// Quotes and backslashes are preceded by a backslash.
    Backslash,
}

/// The names of the types that queries cast to.
pub(super) struct TypeNames {
    pub(super) varchar: &'static str,
    pub(super) bigint: &'static str,
    pub(super) integer: &'static str,
    pub(super) double: &'static str,
    pub(super) boolean: &'static str,
    pub(super) timestamp: &'static str,
}

impl TypeNames {
    /// Return the name of a type in the dialect; `None` for a type outside the portable subset.
    pub(super) fn translate(&self, portable: &str) -> Option<&'static str> {
        Some(match portable {
            "VARCHAR" | "TEXT" => self.varchar,
            "BIGINT" => self.bigint,
            "INTEGER" | "INT" => self.integer,
            "DOUBLE" => self.double,
            "BOOLEAN" => self.boolean,
            "DATE" => "DATE",
            "TIMESTAMP" | "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => self.timestamp,
            _ => return None,
        })
    }
}

/// The spelling of a function in a dialect.
#[derive(Clone, Copy)]
pub(super) enum FunctionRule {
    /// Unchanged.
    Keep,
    /// The same arguments under another name.
    Rename(&'static str),
    /// Other SQL, where `{1}` stands for the first argument.
    Template(&'static str),
    /// Other SQL, computed from the arguments; `None` if these are not supported.
    Compute(fn(&[String]) -> Option<String>),
    /// Other SQL, computed from the call with its filter and order; `None` if these are not supported.
    ComputeCall(fn(&Function) -> Option<String>),
    /// `LISTAGG`, which takes its order in `WITHIN GROUP`.
    ListAgg,
    /// An approximate percentile, because the dialect has no exact one as an aggregate. Takes the call, the expression
    /// and the fraction.
    ApproximatePercentile(fn(&Function, &str, &str) -> Option<String>),
}

/// The access of a dialect to lists and structs.
pub(super) struct NestedRules {
    /// Template of the field `{2}` of the struct `{1}`.
    pub(super) field: &'static str,
    /// Template of the element `{2}`, from 1, of the list `{1}`, which is null beyond the ends.
    pub(super) element: &'static str,
    /// Template of a list of the items `{1}`.
    pub(super) list: &'static str,
    /// Template of a table of the elements of the list `{1}` in a column `{2}`, if the dialect has no function for it in the
    /// SELECT list.
    pub(super) unnest_in_from: Option<&'static str>,
}

/// Replace `{1}`, `{2}` … in `template` by the arguments; a missing argument is empty.
pub(super) fn expand(template: &str, arguments: &[String]) -> String {
    let mut written = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        written.push_str(before);
        let (position, after) = after.split_once('}').unwrap_or((after, ""));
        let position = position.parse::<usize>().unwrap_or_default();
        let argument = position.checked_sub(1).and_then(|n| arguments.get(n));
        written.push_str(argument.map_or("", String::as_str));
        rest = after;
    }
    written + rest
}

/// Translate `concat(a, 'x')`, which skips nulls only in DataFusion, to `(coalesce(a, '') || 'x')`.
pub(super) fn concat(arguments: &[String]) -> Option<String> {
    let parts = arguments.iter().map(|part| match part.starts_with('\'') {
        true => part.clone(),
        false => format!("coalesce({part}, '')"),
    });
    Some(format!("({})", parts.collect::<Vec<_>>().join(" || ")))
}

/// Translate `greatest(a, b)` or `least(a, b)` to `coalesce(greatest(a, b), a, b)` for a dialect in which one null makes the
/// result null.
pub(super) fn skip_nulls(name: &str, arguments: &[String]) -> Option<String> {
    let arguments = arguments.iter().cloned();
    arguments.reduce(|a, b| format!("coalesce({name}({a}, {b}), {a}, {b})"))
}

/// Translate `\1` in the replacement of `regexp_replace` to `$1`, then expand `template`.
pub(super) fn regexp_replace_with_dollar(template: &str, arguments: &[String]) -> Option<String> {
    let mut arguments = arguments.to_vec();
    let replacement = arguments.get_mut(2)?;
    *replacement = replacement.replace('\\', "$");
    Some(expand(template, &arguments))
}
