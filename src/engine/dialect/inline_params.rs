//! Replaces the parameters of a query by literals.

use std::ops::ControlFlow;

use chrono::DateTime;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Select, Value,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::super::{Param, text_literal};
use super::rules::StringEscape;
use crate::error::{Error, ErrorKind, OrError, Result};

/// Replace each `$name` in the text of `sql` by its value. Comments and quoted text are not changed.
///
/// # Errors
/// [`ErrorKind::Usage`]: a timestamp outside the calendar.
pub fn inline_params(sql: &str, params: &[Param]) -> Result<String> {
    replace_params(sql, StringEscape::Standard, |name| {
        let param = params.iter().find(|param| param.name == name);
        param.map(literal).transpose()
    })
}

/// Replace each `$name` in the text of `sql` for which `value` returns a text. Comments and quoted text, whose strings are
/// escaped by `escape`, are not changed.
///
/// # Errors
/// The errors of `value`.
pub(super) fn replace_params(
    sql: &str,
    escape: StringEscape,
    value: impl Fn(&str) -> Result<Option<String>>,
) -> Result<String> {
    let mut written = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(next) = rest.chars().next() {
        let skipped = match next {
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '\'' if escape == StringEscape::Backslash => escaped_string(rest),
            '\'' | '"' | '`' => rest[1..].find(next).map_or(rest.len(), |end| end + 2),
            '$' => {
                let name: String = rest[1..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if let Some(text) = value(&name)? {
                    written += &text;
                    rest = &rest[1 + name.len()..];
                    continue;
                }
                1
            }
            other => other.len_utf8(),
        };
        written += &rest[..skipped];
        rest = &rest[skipped..];
    }
    Ok(written)
}

/// Return the length of the string at the start of `text`, in which a backslash precedes quotes and backslashes.
fn escaped_string(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'\'' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Return a value as a literal that DataFusion and DuckDB both read.
fn literal(param: &Param) -> Result<String> {
    if param.value.is_null() {
        return Ok(format!("cast(NULL AS {})", zoned(&param.type_name)));
    }
    match &param.value {
        ScalarValue::List(_) => {
            let items = items(&param.value)?;
            let items: Vec<_> = items.iter().map(scalar).collect::<Result<_>>()?;
            Ok(format!("[{}]", items.join(", ")))
        }
        value => scalar(value),
    }
}

fn zoned(type_name: &str) -> String {
    type_name.replace("timestamp", "timestamptz")
}

fn scalar(value: &ScalarValue) -> Result<String> {
    let text = value.to_string();
    Ok(match value {
        ScalarValue::Utf8(Some(text)) => text_literal(text),
        ScalarValue::Int64(_) | ScalarValue::Float64(_) | ScalarValue::Boolean(_) => text,
        ScalarValue::Date32(_) => format!("cast('{text}' AS date)"),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => {
            let at = DateTime::from_timestamp_micros(*micros)
                .ok_or_else(|| Error::new(ErrorKind::Usage, "a timestamp outside the calendar"))?;
            format!(
                "cast('{}+00:00' AS timestamptz)",
                at.format("%Y-%m-%d %H:%M:%S%.f")
            )
        }
        other => {
            return Err(
                Error::new(ErrorKind::Internal, "no literal for a value of this type")
                    .with("type", other.data_type()),
            );
        }
    })
}

fn items(value: &ScalarValue) -> Result<Vec<ScalarValue>> {
    let ScalarValue::List(list) = value else {
        return Ok(vec![value.clone()]);
    };
    let values = list.value(0);
    (0..values.len())
        .map(|n| ScalarValue::try_from_array(&values, n))
        .collect::<std::result::Result<_, _>>()
        .or_error(ErrorKind::Internal, "cannot read a list")
}

/// A visitor that replaces parameters by literals, and folds conditions that literals determine, such as `NULL IS NULL OR
/// …`.
pub(super) struct ParamInliner<'a> {
    params: &'a [Param],
}

impl<'a> ParamInliner<'a> {
    pub(super) fn new(params: &'a [Param]) -> Self {
        Self { params }
    }

    fn param(&self, expr: &Expr) -> Option<&'a Param> {
        let Expr::Value(value) = expr else {
            return None;
        };
        let Value::Placeholder(name) = &value.value else {
            return None;
        };
        let name = name.strip_prefix('$')?;
        self.params.iter().find(|param| param.name == name)
    }

    /// Return the value of a condition on a null or a list: `IS NULL`, and `list_contains` as `IN`.
    fn decided(&self, expr: &Expr) -> Result<Option<Expr>> {
        Ok(match expr {
            Expr::IsNull(inner) => self
                .param(inner)
                .map(|param| boolean(param.value.is_null())),
            Expr::IsNotNull(inner) => self
                .param(inner)
                .map(|param| boolean(!param.value.is_null())),
            Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                let FunctionArguments::List(list) = &function.args else {
                    return Ok(None);
                };
                let [
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(among)),
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(item)),
                ] = list.args.as_slice()
                else {
                    return Ok(None);
                };
                let is_in = ["list_contains", "array_contains"].contains(&name.as_str());
                match self.param(among) {
                    Some(param) if is_in && param.value.is_null() => Some(boolean(false)),
                    Some(param) if is_in => Some(Expr::InList {
                        expr: Box::new(item.clone()),
                        list: items(&param.value)?
                            .iter()
                            .map(|item| parsed(&scalar(item)?))
                            .collect::<Result<_>>()?,
                        negated: false,
                    }),
                    _ => None,
                }
            }
            _ => None,
        })
    }
}

fn parsed(text: &str) -> Result<Expr> {
    Parser::new(&GenericDialect {})
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_expr())
        .or_error(ErrorKind::Internal, "cannot parse a generated literal")
}

fn boolean(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).with_empty_span())
}

fn as_boolean(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Value(value) => match value.value {
            Value::Boolean(value) => Some(value),
            _ => None,
        },
        Expr::Nested(inner) => as_boolean(inner),
        _ => None,
    }
}

/// Fold a constant operand: `a AND TRUE` is `a`.
fn folded(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Nested(inner) => match inner.as_ref() {
            Expr::Nested(_) | Expr::InList { .. } => Some(inner.as_ref().clone()),
            inner => as_boolean(inner).map(boolean),
        },
        Expr::BinaryOp { left, op, right } => {
            let absorbs = match op {
                BinaryOperator::And => false,
                BinaryOperator::Or => true,
                _ => return None,
            };
            match (as_boolean(left), as_boolean(right)) {
                (Some(value), _) | (_, Some(value)) if value == absorbs => Some(boolean(absorbs)),
                (Some(_), _) => Some(right.as_ref().clone()),
                (_, Some(_)) => Some(left.as_ref().clone()),
                _ => None,
            }
        }
        _ => None,
    }
}

impl VisitorMut for ParamInliner<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match self.decided(expr) {
            Ok(Some(decided)) => *expr = decided,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Some(param) = self.param(expr) {
            match literal(param).and_then(|text| parsed(&text)) {
                Ok(value) => *expr = value,
                Err(error) => return ControlFlow::Break(error),
            }
        }
        while let Some(smaller) = folded(expr) {
            *expr = smaller;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if select.selection.as_ref().and_then(as_boolean) == Some(true) {
            select.selection = None;
        }
        ControlFlow::Continue(())
    }
}
