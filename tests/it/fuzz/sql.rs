//! SQL and its parameters, from a command line or a user's folder.

use std::sync::{Arc, OnceLock};

use bitlake::engine::{Dialect, Engine, bind_params, declared_params, inline_params, translate};
use bitlake::error::ErrorKind;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::HOSTILE;

const TYPES: [&str; 9] = [
    "varchar",
    "bigint",
    "double",
    "boolean",
    "date",
    "timestamp",
    "varchar[]",
    "bigint[]",
    "timestamp[]",
];

fn engine() -> &'static (Engine, Runtime) {
    static ENGINE: OnceLock<(Engine, Runtime)> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let engine = Engine::new(None).unwrap();
        let fields = vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ];
        engine
            .register_parquet("domain", "t", Arc::new(Schema::new(fields)), &[])
            .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(64 << 20)
            .build()
            .unwrap();
        (engine, runtime)
    })
}

/// Plan and run a text on a stack as large as the program's, and return the kind of its error, if any.
fn tried(sql: String) -> Option<ErrorKind> {
    let (engine, runtime) = engine();
    let work = runtime.spawn(async move {
        engine.references(&sql).map_err(|error| error.kind())?;
        let frame = engine.plan(&sql, &[]).await.map_err(|error| error.kind())?;
        frame.collect().await.map_err(|_| ErrorKind::Usage)?;
        Ok::<_, ErrorKind>(())
    });
    runtime.block_on(work).expect("a panic").err()
}

fn text() -> impl Strategy<Value = String> {
    let hostile = proptest::sample::select(&HOSTILE[..]);
    prop_oneof![
        any::<String>(),
        "[-+0-9:TZ. ,a-z]{0,30}",
        hostile.prop_map(|text| text.trim_matches('"').to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_parameter_is_read_or_refused_and_its_value_can_be_written(
        type_name in proptest::sample::select(&TYPES[..]),
        given in text(),
        dialect in proptest::sample::select(&Dialect::WAREHOUSES[..]),
    ) {
        let sql = format!("-- Which?\n-- param: p {type_name} = null   what\nSELECT id FROM domain.t WHERE $p IS NULL OR id = $p");
        let params = declared_params(&sql).unwrap();
        match bind_params(params, &[("p".to_owned(), given.clone())]) {
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Usage),
            Ok(params) => {
                let written = inline_params(&sql, &params);
                prop_assert!(!written.is_ok_and(|sql| sql.contains("= $p")));
                let _ = translate(&sql, &params, dialect);
            }
        }
    }

    #[test]
    fn a_header_is_read_or_refused(header in "(-- param: ?[a-z]{0,4} ?(varchar|bigint|date|x)?(\\[\\])? ?=? ?\\PC{0,12}( one of:[a-z, ;]{0,12})?\n){0,4}", body in "\\PC{0,40}") {
        if let Err(error) = declared_params(&format!("{header}{body}")) {
            prop_assert!(error.kind().exit_code() == 2 || error.message() == "unknown parameter type", "{}", error);
        }
    }

    #[test]
    fn values_are_put_into_any_text(sql in "(\\$[a-zé_]{0,3}|'|\"|--|\n|\\$\\$|\\PC|[a-z ]{1,4}){0,30}") {
        let params = declared_params("-- param: a varchar = x\n-- param: é bigint = 3").unwrap();
        let written = inline_params(&sql, &params).unwrap();
        if !sql.contains('$') {
            prop_assert_eq!(written, sql);
        }
    }
}

/// Functions and operators that take numbers, lengths, positions and patterns from the text.
const CALLS: [&str; 34] = [
    "abs(?)",
    "-(?)",
    "(?) + (?)",
    "(?) * (?)",
    "(?) / (?)",
    "(?) % (?)",
    "power(?, ?)",
    "factorial(?)",
    "round(?, ?)",
    "left('äö', ?)",
    "right('äö', ?)",
    "substr('äö', ?, ?)",
    "lpad('ä', least(?, 99), 'ö')",
    "chr(?)",
    "split_part('a,b', ',', ?)",
    "array_slice([1, 2], ?, ?)",
    "array_element([1, 2], ?)",
    "array_resize([1], least(?, 9))",
    "regexp_extract_all('a', '(', ?)",
    "regexp_extract_all('aé', '(a)|(é)', ?)",
    "to_timestamp(?)",
    "date_trunc('week', to_timestamp(?))",
    "cast(? AS date)",
    "cast(to_timestamp(?) AS date)",
    "date '2026-01-01' + interval '1 day' * least(?, 9)",
    "to_timestamp(?) - to_timestamp(?)",
    "date_bin(interval '1 day', to_timestamp(?), to_timestamp(?))",
    "extract(year FROM to_timestamp(?))",
    "cast(? AS varchar)",
    "cast(? AS int)",
    "? IN (?, ?)",
    "(SELECT n FROM domain.t LIMIT 1)",
    "nullif(?, ?)",
    "(SELECT max(value) FROM range(1, least(?, 9)))",
];
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "2147483648",
    "1e300",
    "0.1",
    "NULL",
    "253402300800",
    "-99999999999",
    "'x'",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_query_of_extremes_gives_rows_or_an_error(
        call in proptest::sample::select(&CALLS[..]),
        numbers in proptest::collection::vec(proptest::sample::select(&NUMBERS[..]), 3),
    ) {
        let mut call = call.to_owned();
        for number in numbers.iter().cycle().take(call.matches('?').count()) {
            call = call.replacen('?', number, 1);
        }
        if let Some(kind) = tried(format!("SELECT {call} AS x")) {
            prop_assert_eq!(kind.exit_code(), 2, "{}", call);
        }
    }
}

/// At the largest accepted depth, the stack must suffice until the last plan is dropped.
#[test]
fn a_statement_at_the_depth_limit_is_answered() {
    let chain =
        |first: &str, link: &str, n: usize| format!("SELECT {first}{} AS x", link.repeat(n));
    for sql in [
        chain("1", " + 1", 1_000),
        chain("1", "::int", 2_000),
        chain("1", " IS NULL", 400),
        format!(
            "SELECT 1 FROM domain.t WHERE {}",
            vec!["n = 1"; 1_500].join(" OR ")
        ),
        vec!["SELECT 1 AS x"; 100].join(" EXCEPT "),
        vec!["SELECT 1 AS x"; 60].join(" UNION "),
        format!("SELECT {}true", "NOT ".repeat(40)),
        format!("SELECT {}1{}", "(".repeat(40), ")".repeat(40)),
    ] {
        assert_eq!(tried(sql.clone()), None, "{}", &sql[..30]);
    }
    for sql in [
        chain("1", " + 1", 100_000),
        format!("SELECT 1 WHERE {}", vec!["1 = 1"; 100_000].join(" OR ")),
        vec!["SELECT 1 AS x"; 5_000].join(" UNION "),
        format!("SELECT {}1", "CASE WHEN true THEN ".repeat(5_000)),
        format!("SELECT * FROM {}domain.t", "(SELECT * FROM ".repeat(5_000)),
        "SELECT 1 AS a INTO domain.t".to_owned(),
    ] {
        assert_eq!(
            tried(sql.clone()),
            Some(ErrorKind::Configuration),
            "{}",
            &sql[..30]
        );
    }
}
