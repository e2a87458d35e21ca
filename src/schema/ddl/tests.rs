use std::collections::BTreeSet;

use super::*;
use crate::schema::{Contract, Contracts};

fn contract(columns: &str) -> Contract {
    let text = format!(
        r#"{{"description": "d", "version": 2, "primary_key": [], "columns": [{columns}],
            "partition": null}}"#
    );
    let contracts = Contracts::parse("{}", [("domain", "t", text.as_str())]).unwrap();
    contracts.require("domain", "t").unwrap().as_ref().clone()
}

const ID: &str = r#"{"name": "id", "type": "string", "description": "i"}"#;

fn script<'a>(dialect: DdlDialect, location: &'a str, table: DdlTable<'a>) -> DdlScript<'a> {
    DdlScript {
        dialect,
        title: Vec::new(),
        schema_prefix: "",
        location: Some(location),
        tables: vec![table],
        gone: Vec::new(),
    }
}

#[test]
fn a_statement_lists_at_most_a_thousand_files() {
    let contract = contract(ID);
    let files: Vec<_> = (0..2500)
        .map(|n| format!("domain/t/n={n}/part-0.parquet"))
        .collect();
    let all: BTreeSet<_> = files.iter().map(String::as_str).collect();
    let whole = DdlTable {
        contract: &contract,
        files: all.clone(),
        loaded: None,
    };
    let text = script(DdlDialect::Snowflake, "s3://b/l", whole)
        .write()
        .unwrap();
    let copies: Vec<_> = text.split("COPY INTO").skip(1).collect();
    let counts: Vec<_> = copies
        .iter()
        .map(|it| it.matches(".parquet").count())
        .collect();
    assert_eq!(counts, [1000, 1000, 500]);

    let loaded = LoadedTable {
        version: 2,
        changed: BTreeSet::new(),
        files: all,
    };
    let emptied = DdlTable {
        contract: &contract,
        files: BTreeSet::new(),
        loaded: Some(loaded),
    };
    let text = script(DdlDialect::DuckDb, "l", emptied).write().unwrap();
    assert_eq!(text.matches("DELETE FROM").count(), 3);
    assert_eq!(text.matches(".parquet").count(), 2500);
    assert!(!text.contains("INSERT"));
}

#[test]
fn athena_adds_and_drops_partitions_and_keeps_those_with_changed_content() {
    let contract = contract(ID);
    let (kept, gone) = ("domain/t/m=1/part-0.parquet", "domain/t/m=2/part-0.parquet");
    let (changed, new) = (
        "domain/t/m=3/part-0.parquet",
        "domain/t/m=a%20%C3%BC%/part-0.parquet",
    );
    let table = |files, loaded| DdlTable {
        contract: &contract,
        files,
        loaded: Some(LoadedTable {
            version: 2,
            files: loaded,
            changed: BTreeSet::from([changed]),
        }),
    };
    let write = |table| {
        script(DdlDialect::Athena, "s3://b/l", table)
            .write()
            .unwrap()
    };
    let before = BTreeSet::from([kept, gone, changed]);
    let text = write(table(BTreeSet::from([kept, changed, new]), before.clone()));
    let statements: Vec<_> = text
        .lines()
        .filter(|it| !it.is_empty() && !it.starts_with("--"))
        .collect();
    assert_eq!(
        statements,
        [
            "ALTER TABLE `domain`.`t` DROP IF EXISTS",
            "    PARTITION (`m` = '2');",
            "ALTER TABLE `domain`.`t` ADD IF NOT EXISTS",
            "    PARTITION (`m` = 'a ü%') LOCATION 's3://b/l/domain/t/m=a%20%C3%BC%/';",
        ]
    );
    assert!(write(table(before.clone(), before.clone())).ends_with("-- Nothing changed.\n"));
    // Another key needs another table.
    let days = BTreeSet::from(["domain/t/d=1/part-0.parquet"]);
    let text = write(table(days, before));
    assert!(text.contains("DROP TABLE IF EXISTS") && text.contains("PARTITIONED BY (`d` STRING)"));
}

#[test]
fn names_and_texts_cannot_leave_their_quotes() {
    let syntax = |dialect: DdlDialect| SqlSyntax {
        dialect: sql_dialect(dialect),
        schema_prefix: "",
    };
    for (dialect, name, text) in [
        (DdlDialect::Snowflake, "\"a`\"\"\\\"", r"'it''s \\'"),
        (DdlDialect::BigQuery, "`a\\`\"\\\\`", r"'it\'s \\'"),
        (DdlDialect::Redshift, "\"a`\"\"\\\"", r"'it''s \\'"),
        (DdlDialect::Databricks, "`a``\"\\`", r"'it\'s \\'"),
        (DdlDialect::Athena, "`a``\"\\`", r"'it\'s \\'"),
        (DdlDialect::DuckDb, "\"a`\"\"\\\"", r"'it''s \'"),
        (DdlDialect::Postgres, "\"a`\"\"\\\"", r"'it''s \'"),
    ] {
        assert_eq!(syntax(dialect).name("a`\"\\"), name, "{dialect:?}");
        assert_eq!(syntax(dialect).text(r"it's \"), text, "{dialect:?}");
    }
    assert_eq!(syntax(DdlDialect::Snowflake).name("user"), "user");
    assert_eq!(syntax(DdlDialect::Postgres).name("user"), "\"user\"");
    assert_eq!(syntax(DdlDialect::Postgres).name("maxTime"), "\"maxTime\"");
}

#[test]
fn a_long_description_is_cut_between_characters_where_the_catalogue_has_a_limit() {
    let long = "ü".repeat(300);
    let contract = contract(&format!(
        r#"{{"name": "id", "type": "string", "description": "{long}"}}"#
    ));
    let table = DdlTable {
        contract: &contract,
        files: BTreeSet::new(),
        loaded: None,
    };
    let text = script(DdlDialect::Athena, "s3://b/l", table)
        .write()
        .unwrap();
    assert_eq!(text.matches('ü').count(), 127);
}

#[test]
fn a_location_that_the_warehouse_cannot_read_is_refused() {
    for (dialect, can, cannot) in [
        (DdlDialect::Snowflake, "s3://b", "/data"),
        (DdlDialect::Snowflake, "gs://b", "az://c/lake"),
        (
            DdlDialect::Snowflake,
            "abfss://c@a.dfs.core.windows.net",
            "azure://c/lake",
        ),
        (
            DdlDialect::Databricks,
            "abfss://c@a.dfs.core.windows.net",
            "az://c/lake",
        ),
        (DdlDialect::BigQuery, "gs://b", "s3://b"),
        (DdlDialect::Redshift, "s3://b", "gs://b"),
        (DdlDialect::Databricks, "/Volumes/a/b/c", "/data"),
        (DdlDialect::Athena, "s3://b", "/data"),
        (DdlDialect::Iceberg, "gs://b", "az://c/lake"),
    ] {
        assert!(ensure_readable(sql_dialect(dialect), can).is_ok());
        assert!(
            ensure_readable(sql_dialect(dialect), cannot).is_err(),
            "{dialect:?}"
        );
    }
}

#[test]
fn snowflake_reads_google_and_azure_by_addresses_of_its_own() {
    let contract = contract(ID);
    let table = || DdlTable {
        contract: &contract,
        files: BTreeSet::new(),
        loaded: None,
    };
    for (location, stage) in [
        ("gs://b/lake", "'gcs://b/lake/'"),
        (
            "abfss://c@acme.dfs.core.windows.net/a/lake",
            "'azure://acme.blob.core.windows.net/c/a/lake/'",
        ),
    ] {
        let text = script(DdlDialect::Snowflake, location, table())
            .write()
            .unwrap();
        assert!(text.contains(&format!("URL = {stage} ")), "{text}");
    }
}
