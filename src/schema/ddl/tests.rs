use super::*;
use crate::schema::Contracts;

fn contract(columns: &str) -> Contract {
    let text = format!(
        r#"{{"description": "d", "version": 2, "primary_key": [], "columns": [{columns}],
            "partition": null}}"#
    );
    let contracts = Contracts::parse("{}", [("domain", "t", text.as_str())]).unwrap();
    contracts.require("domain", "t").unwrap().as_ref().clone()
}

const ID: &str = r#"{"name": "id", "type": "string", "description": "i"}"#;

fn script<'a>(target: Target, location: &'a str, table: Table<'a>) -> Script<'a> {
    Script {
        target,
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
    let whole = Table {
        contract: &contract,
        files: all.clone(),
        loaded: None,
    };
    let text = script(Target::Snowflake, "s3://b/l", whole)
        .write()
        .unwrap();
    let copies: Vec<_> = text.split("COPY INTO").skip(1).collect();
    let counts: Vec<_> = copies
        .iter()
        .map(|it| it.matches(".parquet").count())
        .collect();
    assert_eq!(counts, [1000, 1000, 500]);

    let loaded = Loaded {
        version: 2,
        changed: BTreeSet::new(),
        files: all,
    };
    let emptied = Table {
        contract: &contract,
        files: BTreeSet::new(),
        loaded: Some(loaded),
    };
    let text = script(Target::DuckDb, "l", emptied).write().unwrap();
    assert_eq!(text.matches("DELETE FROM").count(), 3);
    assert_eq!(text.matches(".parquet").count(), 2500);
    assert!(!text.contains("INSERT"));
}

#[test]
fn athena_adds_and_drops_partitions_and_leaves_those_whose_content_changed() {
    let contract = contract(ID);
    let (kept, gone) = ("domain/t/m=1/part-0.parquet", "domain/t/m=2/part-0.parquet");
    let (changed, new) = (
        "domain/t/m=3/part-0.parquet",
        "domain/t/m=a%20%C3%BC%/part-0.parquet",
    );
    let table = |files, loaded| Table {
        contract: &contract,
        files,
        loaded: Some(Loaded {
            version: 2,
            files: loaded,
            changed: BTreeSet::from([changed]),
        }),
    };
    let write = |table| script(Target::Athena, "s3://b/l", table).write().unwrap();
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
    let words = |target| Words { target, prefix: "" };
    for (target, name, text) in [
        (Target::Snowflake, "\"a`\"\"\\\"", r"'it''s \\'"),
        (Target::BigQuery, "`a\\`\"\\\\`", r"'it\'s \\'"),
        (Target::Redshift, "\"a`\"\"\\\"", r"'it''s \\'"),
        (Target::Databricks, "`a``\"\\`", r"'it\'s \\'"),
        (Target::Athena, "`a``\"\\`", r"'it\'s \\'"),
        (Target::DuckDb, "\"a`\"\"\\\"", r"'it''s \'"),
        (Target::Postgres, "\"a`\"\"\\\"", r"'it''s \'"),
    ] {
        assert_eq!(words(target).name("a`\"\\"), name, "{target:?}");
        assert_eq!(words(target).text(r"it's \"), text, "{target:?}");
    }
    assert_eq!(words(Target::Snowflake).name("user"), "user");
    assert_eq!(words(Target::Postgres).name("user"), "\"user\"");
    assert_eq!(words(Target::Postgres).name("maxTime"), "\"maxTime\"");
}

#[test]
fn a_long_description_is_cut_between_characters_where_the_catalogue_has_a_limit() {
    let long = "ü".repeat(300);
    let contract = contract(&format!(
        r#"{{"name": "id", "type": "string", "description": "{long}"}}"#
    ));
    let table = Table {
        contract: &contract,
        files: BTreeSet::new(),
        loaded: None,
    };
    let text = script(Target::Athena, "s3://b/l", table).write().unwrap();
    assert_eq!(text.matches('ü').count(), 127);
}

#[test]
fn a_warehouse_is_not_sent_where_it_cannot_read() {
    for (target, can, cannot) in [
        (Target::Snowflake, "s3://b", "/data"),
        (Target::BigQuery, "gs://b", "s3://b"),
        (Target::Redshift, "s3://b", "gs://b"),
        (Target::Databricks, "/Volumes/a/b/c", "/data"),
        (Target::Athena, "s3://b", "/data"),
    ] {
        assert!(can_read(target, can).is_ok());
        assert!(can_read(target, cannot).is_err(), "{target:?}");
    }
}
