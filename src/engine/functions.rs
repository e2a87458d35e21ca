//! Scalar functions that DataFusion lacks.
//!
//! `regexp_extract_all` has the name and meaning of DuckDB's, so that the same SQL runs on both engines. It serves
//! issue keys, of which a text can contain several. `content_key` is used by native steps only.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use regex::Regex;

/// Create `regexp_extract_all(text, pattern, group)`, which returns one group of every match, in order. Group 0 is the
/// whole match. The result is null if an argument is null, and empty if nothing matches. A group that takes no part in
/// a match is `''`.
pub(super) fn regexp_extract_all() -> ScalarUDF {
    let item = Field::new_list_field(DataType::Utf8, true);
    create_udf(
        "regexp_extract_all",
        vec![DataType::Utf8, DataType::Utf8, DataType::Int64],
        DataType::List(Arc::new(item)),
        Volatility::Immutable,
        Arc::new(extract_all),
    )
}

fn extract_all(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let [texts, patterns, groups] = arrays.as_slice() else {
        return Err(DataFusionError::Execution(
            "regexp_extract_all takes a text, a pattern and a group".to_owned(),
        ));
    };
    let texts = texts.as_string::<i32>();
    let patterns = patterns.as_string::<i32>();
    let groups = groups.as_primitive::<Int64Type>();
    // A batch has few patterns: those of the rule sets.
    let mut compiled: HashMap<&str, Regex> = HashMap::new();
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) || groups.is_null(row) {
            lists.append_null();
            continue;
        }
        let regex = match compiled.entry(patterns.value(row)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(compile(patterns.value(row))?),
        };
        let group = usize::try_from(groups.value(row)).unwrap_or(usize::MAX);
        for found in regex.captures_iter(texts.value(row)) {
            let text = found.get(group).map_or("", |part| part.as_str());
            lists.values().append_value(text);
        }
        lists.append(true);
    }
    Ok(ColumnarValue::Array(Arc::new(lists.finish()) as ArrayRef))
}

fn compile(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| {
        DataFusionError::Execution(format!(
            "`{pattern}` is not a valid regular expression: {error}"
        ))
    })
}

/// Create `content_key(text)`, see [`content_key`](crate::schema::content_key).
pub(super) fn content_key() -> ScalarUDF {
    let work = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let texts = arrays.iter().flat_map(|array| array.as_string::<i32>());
        let keys = texts.map(|text| text.map(crate::schema::content_key));
        let keys: StringArray = keys.collect();
        Ok(ColumnarValue::Array(Arc::new(keys)))
    };
    create_udf(
        "content_key",
        vec![DataType::Utf8],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(work),
    )
}

#[cfg(test)]
mod tests {
    use crate::engine::Engine;

    async fn one(sql: &str) -> String {
        let engine = Engine::new(None).unwrap();
        let frame = engine.plan(sql, &[]).await.unwrap();
        let batches = frame.collect().await.unwrap();
        datafusion::arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap()
    }

    #[tokio::test]
    async fn every_match_is_returned_in_order() {
        let keys =
            one("SELECT regexp_extract_all('PAY-1, #22 and PAY-3', '([A-Z]+-\\d+|#\\d+)', 1)");
        assert_eq!(keys.await, "[PAY-1, #22, PAY-3]");
        assert_eq!(
            one("SELECT regexp_extract_all('none', '#(\\d+)', 1)").await,
            "[]"
        );
        assert_eq!(
            one("SELECT regexp_extract_all('a', cast(NULL AS varchar), 1)").await,
            ""
        );
        assert_eq!(
            one("SELECT regexp_extract_all('#1 #2', '#(\\d)', 0)").await,
            "[#1, #2]"
        );
    }
}
