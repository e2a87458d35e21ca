//! What people bring as it comes: late keys, empty months, repeated headers, and times that stand for none.

use bitlake::error::ErrorKind;
use bitlake::schema::Contracts;
use bitlake::transform::NulledValues;

use super::outside::Outside;

const CONFIG: [&str; 1] = ["config"];
const MAPPING: &str = "project_name,table,row_id
    shop,cicd_scopes,s1
    shop,repos,r1";
const DEPLOYMENTS: &str = "id,commit_sha,cicd_deployment_id,cicd_scope_id,repo_id,repo_url,result,environment,finished_date
    d1,c1,D1,s1,r1,https://x/web,SUCCESS,PRODUCTION,2026-05-01 10:00:00
    d2,c2,D2,s1,r1,https://x/web,SUCCESS,PRODUCTION,2026-05-04 10:00:00";

/// A project of two deployments.
fn shop() -> Outside {
    Outside::new()
        .csv("domain.project_mapping", MAPPING)
        .csv("domain.cicd_deployment_commits", DEPLOYMENTS)
}

/// `column: rows (values)` of each.
fn printed(nulled: &[NulledValues]) -> Vec<String> {
    let line = |it: &NulledValues| {
        format!(
            "{} {}: {} of {}",
            it.table,
            it.column,
            it.rows,
            it.values.join(", ")
        )
    };
    nulled.iter().map(line).collect()
}

#[tokio::test]
async fn a_key_that_only_the_last_row_of_ndjson_has_is_read() {
    let mut rows = String::new();
    for n in 0..2501 {
        rows.push_str(&format!("{{\"id\": \"i{n}\", \"title\": \"a\"}}\n"));
    }
    rows.push_str(
        "{\"id\": \"last\", \"resolution_date\": \"2026-05-01T10:00:00Z\", \"component\": 7}",
    );
    let given = Outside::new().table("domain.incidents", "ndjson", &rows, "");
    given.transform(&CONFIG).await.unwrap();
    let rows = given
        .query("SELECT count(*), count(resolution_date), max(component) FROM domain.incidents")
        .await;
    assert_eq!(rows, ["2502 | 1 | 7"]);
}

#[tokio::test]
async fn an_input_without_rows_is_an_empty_table_also_under_a_query() {
    let query = "query = \"SELECT 'pd:' || id AS id, upper(title) AS title, cast(created_at AS timestamp) AS created_date, \
                 to_timestamp(resolved_at, '%Y-%m-%d') AS resolution_date, service['summary'] AS component, \
                 labels[1]['name'] AS priority FROM external AS e WHERE e.n > 3\"";
    for (format, text) in [
        ("ndjson", ""),
        ("ndjson", "\n\n"),
        ("ndjson", "\u{feff}"),
        ("csv", ""),
        ("csv", "\u{feff}\n"),
        ("csv", "id,title,created_date"),
    ] {
        let mut given = Outside::new().table("domain.incidents", format, text, "");
        // Columns of a CSV are text, with nothing inside.
        if format == "ndjson" {
            given = given.table(
                "domain.incidents",
                format,
                text,
                &format!("add = true\n{query}"),
            );
        }
        let report = given.transform(&CONFIG).await.unwrap();
        assert!(report.nulled.is_empty(), "{text:?}");
        let rows = given.query("SELECT count(*) FROM domain.incidents").await;
        assert_eq!(rows, ["0"], "{format} {text:?}");
    }
}

#[tokio::test]
async fn an_incidents_table_without_rows_measures_a_failure_rate_of_zero() {
    let rate = "SELECT value, reason FROM metrics.dora WHERE scope = 'project' AND period = 'all' \
                AND metric = 'change_failure_rate'";
    let given = shop();
    given.transform(&[]).await.unwrap();
    assert_eq!(given.query(rate).await, ["NULL | no incident source"]);
    let filtered = "add = true\nquery = \"SELECT id, title FROM external WHERE title = 'never'\"";
    for (text, options) in [
        ("", ""),
        ("id,title,created_date", "add = true"),
        ("id,title\ni1,a", filtered),
    ] {
        let given = shop().table("domain.incidents", "csv", text, options);
        given.transform(&[]).await.unwrap();
        assert_eq!(given.query(rate).await, ["0.0 | NULL"], "{text:?}");
        let outside_tables = "SELECT name, is_added, row_count FROM config.outside_tables WHERE name LIKE '%incidents'";
        let added = !options.is_empty();
        let expected = format!("domain.incidents | {added} | 0");
        assert_eq!(given.query(outside_tables).await, [expected]);
    }
}

#[tokio::test]
async fn a_column_that_only_the_query_names_is_null_and_reported() {
    let given = Outside::new()
        .table(
            "domain.incidents",
            "ndjson",
            "{\"id\": \"i1\", \"service\": {\"id\": 7}, \"resolved_at\": null}\n{\"id\": \"i2\", \"service\": \"web\"}",
            "query = \"SELECT id, service['summary'] AS component, closer.name AS assignee_name, \
             cast(resolved_at AS timestamp) AS resolution_date, title FROM external\"",
        )
        .table(
            "domain.users",
            "csv",
            "id\nu1",
            "query = \"SELECT id, name, email FROM external\"",
        );
    let report = given.transform(&CONFIG).await.unwrap();
    assert_eq!(
        printed(&report.nulled),
        [
            "domain.incidents service: 1 of ",
            "domain.incidents closer: 2 of ",
            "domain.incidents title: 2 of ",
            "domain.users email: 1 of ",
            "domain.users name: 1 of ",
        ]
    );
    let rows = given
        .query("SELECT id, component, assignee_name, resolution_date FROM domain.incidents ORDER BY id")
        .await;
    assert_eq!(rows, ["i1 |  |  | NULL", "i2 |  |  | NULL"]);
}

#[tokio::test]
async fn repeated_headers_are_numbered() {
    let given = Outside::new().table(
        "domain.incidents",
        "csv",
        "Key,Sprint,Sprint,Sprint\nPAY-1,one,two,\nPAY-2,three,,",
        r#"query = """SELECT "Key" AS id, concat_ws(' then ', "Sprint", "Sprint_2", "Sprint_3") AS title FROM external""""#,
    );
    given.transform(&CONFIG).await.unwrap();
    let rows = given
        .query("SELECT id, title FROM domain.incidents ORDER BY id")
        .await;
    assert_eq!(rows, ["PAY-1 | one then two", "PAY-2 | three"]);
}

#[tokio::test]
async fn placeholder_times_are_null_named_and_make_no_periods() {
    let times = [
        "0001-01-01",
        "0000-00-00 00:00:00",
        "1899-12-30 00:00:00",
        "1900-01-01",
        "1970-01-01T00:00:00Z",
        "2300-01-01",
        "2999-12-31",
        "9999-12-31T23:59:59.999Z",
        "10000-01-01T00:00:00Z",
    ];
    let rows = times
        .iter()
        .enumerate()
        .map(|(n, time)| format!("i{n},shop,2026-05-02 10:00:00,{time}"));
    let csv = format!(
        "id,project_name,created_date,resolution_date\n{}\nlast,shop,2026-05-02 10:00:00,2026-05-03 10:00:00",
        rows.collect::<Vec<_>>().join("\n")
    );
    let given = shop().csv("domain.incidents", &csv);
    let report = given.transform(&["domain", "dora"]).await.unwrap();
    assert_eq!(
        printed(&report.nulled),
        [
            "domain.incidents resolution_date: 9 of 0000-00-00 00:00:00 (id=i1), 10000-01-01T00:00:00Z (id=i8), 0001-01-01T00:00:00Z (id=i0)"
        ]
    );
    let rows = given
        .query("SELECT count(*), count(resolution_date), max(recovery_seconds) FROM dora.incidents")
        .await;
    assert_eq!(rows, ["10 | 1 | 86400"]);
    let days = given
        .query("SELECT min(label), max(label), count(*) FROM config.buckets WHERE period = 'day'")
        .await;
    assert_eq!(days, ["2026-05-01 | 2026-05-04 | 4"]);
}

#[tokio::test]
async fn a_query_may_cast_a_placeholder_time() {
    let given = Outside::new().table(
        "domain.incidents",
        "ndjson",
        "{\"id\": \"i1\", \"a\": \"2026-05-01T10:00:00Z\", \"b\": \"9999-12-31T23:59:59Z\", \"c\": \"31/Dec/9999\"}
         {\"id\": \"i2\", \"a\": \"0001-01-01T00:00:00Z\", \"b\": \"2026-05-01T10:00:00Z\", \"c\": \"04/May/2026\"}",
        "query = \"SELECT id, cast(a AS timestamp) AS created_date, b::timestamp AS resolution_date, \
         to_timestamp(c, '%d/%b/%Y') AS updated_date FROM external\"",
    );
    let report = given.transform(&CONFIG).await.unwrap();
    assert_eq!(
        printed(&report.nulled),
        [
            "domain.incidents created_date: 1 of 0001-01-01T00:00:00Z (id=i2)",
            "domain.incidents resolution_date: 1 of 9999-12-31T23:59:59Z (id=i1)",
            "domain.incidents updated_date: 1 of 9999-12-31T00:00:00Z (id=i1)",
        ]
    );
    let rows = given
        .query("SELECT id, created_date, resolution_date, updated_date FROM domain.incidents ORDER BY id")
        .await;
    assert_eq!(
        rows,
        [
            "i1 | 2026-05-01T10:00:00Z | NULL | NULL",
            "i2 | NULL | 2026-05-01T10:00:00Z | 2026-05-04T00:00:00Z"
        ]
    );
}

#[tokio::test]
async fn an_end_before_the_start_gives_no_duration_and_negative_durations_are_refused() {
    let given = shop()
        .csv(
            "domain.incidents",
            "id,project_name,created_date,resolution_date,lead_time_minutes,deployment_id
             i1,shop,2026-05-04 11:00:00,2026-05-04 09:00:00,-120,D2
             i2,shop,2026-05-01 11:00:00,2026-05-01 09:30:00,5,D1",
        )
        .csv(
            "domain.cicd_pipelines",
            "id,duration_sec,queued_duration_sec\np1,-5,NaN\np2,7,inf",
        );
    let report = given.transform(&[]).await.unwrap();
    assert_eq!(
        printed(&report.nulled),
        [
            "domain.incidents lead_time_minutes: 1 of -120 (id=i1)",
            "domain.cicd_pipelines duration_sec: 1 of -5.0 (id=p1)",
            "domain.cicd_pipelines queued_duration_sec: 2 of NaN (id=p1), inf (id=p2)",
        ]
    );
    assert!(
        !report
            .warnings
            .iter()
            .any(|it| it.kind.contains("below zero")),
        "{:?}",
        report.warnings
    );
    assert_eq!(
        given
            .query(
                "SELECT incident_id, recovery_seconds, age_seconds FROM dora.incidents ORDER BY 1"
            )
            .await,
        ["i1 | NULL | 3600", "i2 | NULL | 3600"]
    );
    assert_eq!(
        given
            .query(
                "SELECT deployment_id, is_failed, recovery_seconds FROM dora.deployments ORDER BY 1"
            )
            .await,
        ["D1 | true | NULL", "D2 | true | NULL"]
    );
    let negative = given
        .query("SELECT metric, value FROM metrics.devlake WHERE value < 0 UNION ALL SELECT metric, value FROM metrics.dora WHERE value < 0")
        .await;
    assert!(negative.is_empty(), "{negative:?}");
}

#[tokio::test]
async fn periods_cover_deployments_changes_and_incidents_and_are_bounded() {
    let old = "id,created_date,type\nt1,1985-01-01,BUG\nt2,2026-05-03,INCIDENT";
    let given = shop().csv("domain.issues", old);
    given.transform(&CONFIG).await.unwrap();
    let days = given
        .query("SELECT min(label), max(label) FROM config.buckets WHERE period = 'day'")
        .await;
    assert_eq!(
        days,
        ["2026-05-01 | 2026-05-04"],
        "an old bug makes no periods"
    );

    let incident = "id,project_name,created_date\ni1,shop,1999-05-01\ni2,shop,2026-05-02";
    let error = shop()
        .csv("domain.incidents", incident)
        .transform(&CONFIG)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let text = error.to_string();
    assert!(
        text.contains("first=1999-05-01T00:00:00Z in domain.incidents.created_date of i1")
            && text.contains(
                "last=2026-05-04T10:00:00Z in domain.cicd_deployment_commits.finished_date of d2"
            )
            && text.contains("longest_span"),
        "{text}"
    );
    let given = shop()
        .lake("longest_span = \"30 years\"")
        .csv("domain.incidents", incident);
    given.transform(&CONFIG).await.unwrap();
    let months = given
        .query("SELECT count(*) FROM config.buckets WHERE period = 'month'")
        .await;
    assert_eq!(months, ["325"]);
}

#[tokio::test]
async fn another_encoding_is_named_with_the_fix() {
    let given = Outside::new()
        .with("[[table]]\nname = \"domain.users\"\nlocation = \"latin.csv\"\nformat = \"csv\"");
    std::fs::write(
        given.root().parent().unwrap().join("latin.csv"),
        b"id,name\nu1,Andr\xe9\n",
    )
    .unwrap();
    let error = given.transform(&CONFIG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let text = error.to_string();
    assert!(
        text.contains("latin.csv") && text.contains("iconv"),
        "{text}"
    );
}

#[tokio::test]
async fn a_step_that_fails_over_data_is_a_contract_error_and_a_wrong_one_a_configuration_error() {
    let own = |sql: &str| {
        let queries = tempfile::tempdir().unwrap();
        std::fs::create_dir(queries.path().join("domain")).unwrap();
        std::fs::write(queries.path().join("domain/numbers.sql"), sql).unwrap();
        queries
    };
    let given = Outside::new().csv("domain.users", "id\nseven");
    let queries = own("SELECT cast(id AS bigint) AS n FROM domain.users");
    let failed = given
        .transform_with(&["domain"], Some(queries.path()))
        .await;
    let error = failed.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("table=domain.numbers") && text.contains("seven"),
        "{text}"
    );
    let queries = own("SELECT nothing FROM domain.users");
    let failed = given
        .transform_with(&["domain"], Some(queries.path()))
        .await;
    assert_eq!(failed.unwrap_err().kind().exit_code(), 2);
}

#[test]
fn every_duration_is_checked_for_negative_values() {
    let check = include_str!("../../queries/checks/negative_durations.sql");
    for contract in Contracts::bundled().unwrap().iter() {
        let is_made = ["domain", "dora"].contains(&contract.layer.as_str());
        for column in contract.columns.iter().filter(|_| is_made) {
            let unit = column.unit.as_deref().unwrap_or_default();
            let name = format!("'{}.{}'", contract.name(), column.name);
            if ["seconds", "minutes"].contains(&unit) {
                assert!(check.contains(&name), "{name} is not checked");
            }
        }
    }
}
