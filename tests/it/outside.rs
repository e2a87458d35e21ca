//! `[[table]]`: outside data replaces a table, adds to its rows, or is refused with a helpful message.

use std::collections::BTreeMap;
use std::path::Path;

use bitlake::config::Config;
use bitlake::error::{Error, ErrorKind};
use bitlake::lake::Lake;
use bitlake::transform::{TransformOptions, TransformReport, open_published, transform};
use tempfile::TempDir;

use super::docs::{blocks, page};
use super::support::lines_of;

/// A lake filled by outside files only.
pub struct Outside {
    folder: TempDir,
    config: String,
}

impl Outside {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("lake").display().to_string();
        Self {
            folder,
            config: format!("[lake]\nurl = {url:?}\n"),
        }
    }

    /// Add a CSV file for `table`, mapped by its header.
    pub fn csv(self, table: &str, text: &str) -> Self {
        self.table(table, "csv", text, "")
    }

    /// Add a file for `table`; `keys` are further lines of its `[[table]]`.
    pub fn table(mut self, table: &str, format: &str, text: &str, keys: &str) -> Self {
        let n = self.config.matches("[[table]]").count();
        let file = format!("given-{n}.{format}");
        let lines: Vec<_> = text.trim().lines().map(str::trim).collect();
        std::fs::write(self.folder.path().join(&file), lines.join("\n")).unwrap();
        self.config.push_str(&format!(
            "[[table]]\nname = {table:?}\nlocation = {file:?}\nformat = {format:?}\n{keys}\n"
        ));
        self
    }

    /// Set further keys of `[lake]`.
    pub fn lake(mut self, keys: &str) -> Self {
        let section = format!("[lake]\n{keys}\n");
        self.config = self.config.replacen("[lake]\n", &section, 1);
        self
    }

    /// Add further lines to the configuration.
    pub fn with(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    pub async fn transform(&self, layers: &[&str]) -> Result<TransformReport, Error> {
        self.transform_with(layers, None).await
    }

    /// Transform with `queries`, a folder of custom queries.
    pub async fn transform_with(
        &self,
        layers: &[&str],
        queries: Option<&Path>,
    ) -> Result<TransformReport, Error> {
        let path = self.folder.path().join("bitlake.toml");
        let config = Config::parse(&self.config, &path, &BTreeMap::new(), &[])?;
        let lake = Lake::create(&config.lake.url, &config.lake.options)?;
        let lock = lake.lock()?;
        let only = layers.iter().map(|layer| (*layer).to_owned()).collect();
        let options = TransformOptions {
            only: Some(only).filter(|_| !layers.is_empty()),
            queries: queries.map(Path::to_owned),
            ..TransformOptions::default()
        };
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        transform(&config, &lake, &lock, "test", now, &options).await
    }

    pub async fn query(&self, sql: &str) -> Vec<String> {
        let lake = Lake::open(&self.root().display().to_string(), &BTreeMap::new())
            .await
            .unwrap();
        let engine = open_published(&lake, None).await.unwrap();
        lines_of(&engine, sql).await.unwrap()
    }

    pub fn root(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("lake")
    }

    /// Return the error of a wrong configuration.
    async fn mistake(&self) -> String {
        let error = self.transform(&["config"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        error.to_string()
    }
}

#[tokio::test]
async fn a_csv_is_typed_by_the_table_and_not_by_its_looks() {
    let given = Outside::new().csv(
        "domain.repo_commits",
        "repo_id,commit_sha,reachable
         1,0012,true
         1,1e10,NULL",
    );
    given.transform(&["config"]).await.unwrap();
    let rows = given
        .query("SELECT commit_sha, reachable, _raw_data_table = '' FROM domain.repo_commits")
        .await;
    assert_eq!(rows, ["0012 | true | true", "1e10 | false | true"]);
}

#[tokio::test]
async fn lines_within_cells_nulls_and_the_bookkeeping_of_an_export_are_taken() {
    let given = Outside::new().csv(
        "domain.users",
        "id,name,email,created_at,_raw_data_id
         u1,\"Ada
         L\",NULL,2024-01-01,7
         u2,,\\N,,",
    );
    given.transform(&["config"]).await.unwrap();
    let rows = given
        .query("SELECT id, replace(name, chr(10), '/'), email = '' FROM domain.users")
        .await;
    assert_eq!(rows, ["u1 | Ada/L | true", "u2 |  | true"]);
}

#[tokio::test]
async fn a_query_maps_names_and_may_begin_with_a_cte() {
    let given = Outside::new().table(
        "domain.issues",
        "ndjson",
        r#"{"Key": "PAY-1", "opened": "2026-05-01T10:00:00+02:00", "n": {"points": 3}}"#,
        r#"query = 'WITH e AS (SELECT * FROM external) SELECT "Key" AS id, opened AS created_date, n.points AS story_point FROM e'"#,
    );
    given.transform(&["config"]).await.unwrap();
    let rows = given
        .query("SELECT id, created_date, story_point FROM domain.issues")
        .await;
    assert_eq!(rows, ["PAY-1 | 2026-05-01T08:00:00Z | 3.0"]);
}

#[tokio::test]
async fn with_add_the_rows_join_those_that_are_made() {
    let issues = "id,type,created_date\ni1,INCIDENT,2026-05-01";
    let mapping = "project_name,table,row_id\nshop,boards,b1";
    let own = "id,title,created_date\nx1,Outside,2026-05-02";
    for (keys, expected) in [("", "x1"), ("add = true", "i1, x1")] {
        let given = Outside::new()
            .csv("domain.issues", issues)
            .csv("domain.board_issues", "board_id,issue_id\nb1,i1")
            .csv("domain.project_mapping", mapping)
            .table("domain.incidents", "csv", own, keys);
        given.transform(&["domain"]).await.unwrap();
        let ids = given
            .query("SELECT string_agg(id, ', ' ORDER BY id) FROM domain.incidents")
            .await;
        assert_eq!(ids, [expected]);
    }
}

#[tokio::test]
async fn a_doubled_key_is_refused_before_anything_is_published() {
    let given = Outside::new().csv("domain.users", "id\nu1\nu1");
    let error = given.transform(&["config"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    assert!(error.to_string().contains("duplicate keys"), "{error}");
    assert!(!given.root().join("domain").exists());
}

#[tokio::test]
async fn a_project_that_only_an_outside_mapping_names_has_periods() {
    let given = Outside::new()
        .csv(
            "domain.project_mapping",
            "project_name,table,row_id\nshop,cicd_scopes,s1",
        )
        .csv(
            "domain.cicd_pipelines",
            "id,created_date,finished_date,cicd_scope_id
             p1,2022-11-16 09:00:06.000,2022-11-17 08:00:00,s1",
        );
    given.transform(&["config"]).await.unwrap();
    let rows = given
        .query("SELECT label, period_start, days FROM config.buckets WHERE period IN ('day', 'all') ORDER BY period, label")
        .await;
    assert_eq!(
        rows,
        [
            "all | 2022-11-16T00:00:00Z | 2",
            "2022-11-16 | 2022-11-16T00:00:00Z | 1",
            "2022-11-17 | 2022-11-17T00:00:00Z | 1"
        ]
    );
}

#[tokio::test]
async fn a_mistake_names_the_file_the_column_and_the_fix() {
    let unknown = Outside::new().csv("domain.users", "id,nmae\nu1,Ada");
    let text = unknown.mistake().await;
    assert!(
        text.contains("a column that the table does not")
            && text.contains("column=nmae, table=domain.users")
            && text.contains("given-0.csv")
            && text.ends_with("remove or rename it in the [[table]]'s `query`"),
        "{text}"
    );

    let keyless = Outside::new().csv("domain.users", "name\nAda");
    let text = keyless.mistake().await;
    assert!(
        text.contains("lacks a column of the key (column=id, table=domain.users"),
        "{text}"
    );

    let mistyped = Outside::new().csv(
        "domain.pull_requests",
        "id,created_date\np1,yesterday\np2,2026-01-01",
    );
    let text = mistyped.mistake().await;
    assert!(
        text.contains(
            "has the wrong type for its column (column=created_date, table=domain.pull_requests"
        ) && text.contains("given-0.csv")
            && text.contains("yesterday")
            && text.ends_with("cast the column in the [[table]]'s `query`"),
        "{text}"
    );

    let query = "query = \"SELECT id, nmae AS name FROM external\"";
    let misspelt = Outside::new().table("domain.users", "csv", "id,name\nu1,Ada", query);
    let text = misspelt.mistake().await;
    assert!(
        text.contains("columns of external=id, name, table=domain.users") && text.contains("nmae"),
        "{text}"
    );

    let nowhere = Outside::new()
        .with("[[table]]\nname = \"domain.users\"\nlocation = \"nowhere/*.csv\"\nformat = \"csv\"");
    let text = nowhere.mistake().await;
    assert!(text.contains("nowhere/*.csv"), "{text}");
}

/// The three sources of incidents from the book, unchanged, with files as they describe them.
#[tokio::test]
async fn the_incidents_of_the_book_arrive_in_their_projects() {
    let page = page("incidents.md");
    let examples = blocks(&page, "toml");
    assert_eq!(examples.len(), 3);
    let mut given = Outside::new().csv(
        "domain.project_mapping",
        "project_name,table,row_id
         checkout,cicd_scopes,bitbucket:BitbucketRepo:1:acme/checkout-api",
    );
    for example in examples {
        given = given.with(example);
    }
    let files = [
        (
            "jira.csv",
            "key,summary,created,resolved,component\nPAY-7,Checkout down,2026-05-04 09:12,2026-05-04 10:40,web\n",
        ),
        (
            "pagerduty.ndjson",
            "{\"id\": \"Q1\", \"incident_number\": 7, \"title\": \"5xx\", \"status\": \"resolved\", \
             \"created_at\": \"2026-05-05T09:00:00Z\", \"resolved_at\": \"2026-05-05T09:30:00Z\", \"urgency\": \"high\", \
             \"html_url\": \"https://acme.pagerduty.com/incidents/Q1\", \"service\": {\"summary\": \"checkout-api\"}}\n",
        ),
        (
            "incidents.csv",
            "id,title,project_name,created_date,resolution_date\nops-1,Disk full,checkout,2026-05-06 08:00:00,\n",
        ),
    ];
    for (name, text) in files {
        std::fs::write(given.folder.path().join(name), text).unwrap();
    }
    given.transform(&["domain", "dora"]).await.unwrap();
    assert_eq!(
        given
            .query("SELECT i.id, i.status, d.project_name, d.recovery_seconds FROM domain.incidents AS i JOIN dora.incidents AS d ON d.incident_id = i.id ORDER BY i.id")
            .await,
        [
            "jira:PAY-7 | DONE | checkout | 5280",
            "ops-1 |  | checkout | NULL",
            "pagerduty:Q1 | DONE | checkout | 1800",
        ]
    );
}

/// Serve a bucket with one object on loopback to readers without signatures: listing, reading, reading a range.
async fn bucket(key: &'static str, body: &'static str) -> String {
    use axum::extract::Request;
    use axum::http::{StatusCode, header};
    use axum::response::{IntoResponse, Response};

    let answer = move |request: Request| async move {
        let query = request.uri().query().unwrap_or_default();
        if query.contains("list-type=2") {
            let listed = format!(
                "<ListBucketResult><Name>ops</Name><IsTruncated>false</IsTruncated><KeyCount>1</KeyCount>\
                 <Contents><Key>{key}</Key><LastModified>2026-05-01T00:00:00.000Z</LastModified>\
                 <ETag>&quot;1&quot;</ETag><Size>{}</Size></Contents></ListBucketResult>",
                body.len()
            );
            return ([(header::CONTENT_TYPE, "application/xml")], listed).into_response();
        }
        if request.uri().path() != format!("/ops/{key}") {
            return StatusCode::NOT_FOUND.into_response();
        }
        let range = request.headers().get(header::RANGE).and_then(|range| {
            let (from, to) = range
                .to_str()
                .ok()?
                .strip_prefix("bytes=")?
                .split_once('-')?;
            let last = body.len() - 1;
            Some((
                from.parse::<usize>().ok()?,
                to.parse().unwrap_or(last).min(last),
            ))
        });
        let (status, from, to) = match range {
            Some((from, to)) => (StatusCode::PARTIAL_CONTENT, from, to),
            None => (StatusCode::OK, 0, body.len() - 1),
        };
        Response::builder()
            .status(status)
            .header(header::LAST_MODIFIED, "Fri, 01 May 2026 00:00:00 GMT")
            .header(header::ETAG, "\"1\"")
            .header(
                header::CONTENT_RANGE,
                format!("bytes {from}-{to}/{}", body.len()),
            )
            .body(body[from..=to].into())
            .unwrap()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outside_table_may_lie_in_a_bucket() {
    let endpoint = bucket("people/users.csv", "id,name\nu1,Ada\nu2,Bob\n").await;
    let keys = format!(
        "endpoint = {endpoint:?}\nregion = \"eu-central-1\"\nallow_http = true\nskip_signature = true"
    );
    for location in ["s3://ops/people/users.csv", "s3://ops/people/*.csv"] {
        let given = Outside::new().lake(&keys).with(&format!(
            "[[table]]\nname = \"domain.users\"\nlocation = {location:?}\nformat = \"csv\""
        ));
        given.transform(&["config"]).await.unwrap();
        let rows = given.query("SELECT id, name FROM domain.users").await;
        assert_eq!(rows, ["u1 | Ada", "u2 | Bob"], "{location}");
    }
    let missing = Outside::new().lake(&keys).with(
        "[[table]]\nname = \"domain.users\"\nlocation = \"s3://ops/nothing.csv\"\nformat = \"csv\"",
    );
    let text = missing.mistake().await;
    assert!(text.contains("location=s3://ops/nothing.csv"), "{text}");
}
