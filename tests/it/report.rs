//! The page of `bitlake report`: its figures are those of the queries, its bytes follow from the lake, and texts from
//! Bitbucket cannot become markup.

use std::path::Path;

use bitlake::lake::Lake;
use bitlake::report::{ReportOptions, render};
use bitlake_sandbox::Sandbox;
use regex::Regex;
use serde_json::Value;

use super::demo::{bitlake, demo_lake, text};
use super::outside::Outside;
use super::program::Program;

/// Return the page over a lake.
fn page(lake: &Path, args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("page.html");
    let mut line = vec!["--lake", lake.to_str().unwrap(), "report", "--out"];
    line.push(out.to_str().unwrap());
    line.extend(args);
    let output = bitlake(&line);
    assert!(output.status.success(), "{}", text(&output.stderr));
    std::fs::read_to_string(out).unwrap()
}

/// Return the rows of a bundled query over the demo's lake.
fn rows(query: &str, params: &[&str]) -> Vec<Value> {
    let lake = demo_lake().to_str().unwrap();
    let mut line = vec!["--lake", lake, "query", query, "--format", "json"];
    line.extend(params.iter().flat_map(|param| ["--param", param]));
    let output = bitlake(&line);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Return the part of the page that is about the project with this number, in the order of names.
fn project(page: &str, number: usize) -> &str {
    let section = format!("<section id=\"p{number}\"");
    let start = page.find(&section).unwrap();
    let end = page[start..].find("</section>").unwrap();
    &page[start..start + end]
}

/// Return the figure on the card with this title; `None` if there is only a reason.
fn card(project: &str, title: &str) -> Option<String> {
    let card = format!("<h4>{title}</h4><p class=\"value\">(?:<strong>([^<]+)</strong>|<span)");
    let found = Regex::new(&card).unwrap().captures(project).unwrap();
    found.get(1).map(|it| it.as_str().to_owned())
}

/// Return the cells of the data table below the chart of a figure.
fn chart_rows(project: &str, metric: &str) -> Vec<Vec<String>> {
    let chart = format!("-{}-t\"", metric.replace('_', "-"));
    let start = project.find(&chart).unwrap();
    let body = &project[start + project[start..].find("<tbody>").unwrap()..];
    let body = &body[..body.find("</tbody>").unwrap()];
    let cell = Regex::new("<t[hd][^>]*>([^<]*)</t[hd]>").unwrap();
    let row = |row: &str| cell.captures_iter(row).map(|it| it[1].to_owned()).collect();
    body.split("</tr>")
        .filter(|it| it.contains("<t"))
        .map(row)
        .collect()
}

/// Return a figure of `dora/overview` as the page writes it.
fn written(value: &Value) -> String {
    value
        .as_f64()
        .map_or("–".to_owned(), |value| format!("{value:.1}"))
}

/// The figures: their columns in `dora/overview`, their titles, and their names.
const FIGURES: [(&str, &str, &str); 5] = [
    ("per week", "Deployment frequency", "deployment_frequency"),
    ("lead time h", "Lead time for changes", "change_lead_time"),
    (
        "failure rate %",
        "Change failure rate",
        "change_failure_rate",
    ),
    (
        "recovery h",
        "Failed deployment recovery time",
        "failed_deployment_recovery_time",
    ),
    (
        "rework %",
        "Deployment rework rate",
        "deployment_rework_rate",
    ),
];

/// Return a cell of `dora/overview`, whose machine names may have underscores.
fn overview_cell<'a>(row: &'a Value, column: &str) -> &'a Value {
    let machine = column.replace(" %", "_pct").replace(' ', "_");
    row.get(column)
        .or_else(|| row.get(machine))
        .unwrap_or(&Value::Null)
}

#[test]
fn the_figures_are_those_of_the_overview() {
    let page = page(demo_lake(), &[]);
    let overview = rows("dora/overview", &[]);
    let mut compared = 0;
    for (number, name) in ["checkout", "platform"].into_iter().enumerate() {
        let section = project(&page, number);
        for (column, title, metric) in FIGURES {
            let mut chart = chart_rows(section, metric).into_iter();
            for row in overview.iter().filter(|row| row["project"] == name) {
                let expected = written(overview_cell(row, column));
                if row["period"] == "all" {
                    let shown = card(section, title).unwrap_or("–".to_owned());
                    assert_eq!(shown, expected, "{name} {title}");
                } else {
                    let cells = chart.next().unwrap();
                    assert_eq!(
                        cells[..2],
                        [row["period"].as_str().unwrap(), &expected],
                        "{name} {title}"
                    );
                }
                compared += 1;
            }
            assert_eq!(chart.next(), None, "{name} {title}");
        }
    }
    assert_eq!(compared, 5 * overview.len());
}

#[test]
fn the_page_says_what_is_missing_beside_the_figures() {
    let page = page(demo_lake(), &[]);
    let platform = project(&page, 1);
    for words in [
        "no incident source: rollbacks and reverts only",
        "too few for a class",
        "no published classes",
        "No trend: no changes in Oct\u{a0}2026",
        "Incomplete: Nov\u{a0}2026.",
        "3 not deployed",
        "issue tracker disabled",
    ] {
        assert!(platform.contains(words), "{words}");
    }
    assert!(!project(&page, 0).contains("no incident source"));
}

#[test]
fn the_page_asks_for_nothing_and_runs_nothing() {
    let page = page(demo_lake(), &[]);
    for word in [
        "<script",
        "<link",
        "<iframe",
        " src=",
        "url(",
        "@import",
        " style=",
        "javascript:",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    let link = Regex::new("href=\"([^\"]*)\"").unwrap();
    let links: Vec<_> = link
        .captures_iter(&page)
        .map(|it| it[1].to_owned())
        .collect();
    assert!(links.len() > 20, "{links:?}");
    for link in links {
        assert!(
            link.starts_with('#') || link.starts_with("https://bitbucket.org/"),
            "{link}"
        );
    }
    let charts = page.matches("<svg ").count();
    assert_eq!(page.matches("role=\"img\"").count(), charts);
    assert_eq!(page.matches("<desc ").count(), charts);
}

#[test]
fn the_same_lake_gives_the_same_bytes() {
    let first = page(demo_lake(), &[]);
    let elsewhere = tempfile::tempdir().unwrap();
    super::support::copy(demo_lake(), elsewhere.path());
    assert!(first == page(elsewhere.path(), &[]));
    // What the demo wrote at its end.
    assert!(first == std::fs::read_to_string(demo_lake().join("report.html")).unwrap());
}

#[test]
fn one_project_and_a_part_of_the_time_can_be_chosen() {
    let span = ["--from", "2026-05", "--to", "2026-09"];
    let platform = page(
        demo_lake(),
        &[&["--project", "platform"][..], &span].concat(),
    );
    let months: Vec<_> = chart_rows(project(&platform, 0), "change_lead_time")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(months, ["2026-05", "2026-06", "2026-07", "2026-08"]);
    assert!(!platform.contains("<bdi>checkout</bdi>"));
    assert!(!platform.contains("All projects"));
    let weeks = page(demo_lake(), &["--interval", "week"]);
    assert!(weeks.contains("2026-W35"));
    let lake = demo_lake().to_str().unwrap();
    let output = bitlake(&["--lake", lake, "report", "--project", "platform2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("did you mean `platform`?"),
        "{}",
        text(&output.stderr)
    );
}

/// A part of the time is computed from days and rows; over the whole time it must give the figures of metrics.dora.
#[test]
fn figures_of_a_part_that_is_the_whole_are_the_same() {
    let spans = rows("report/projects", &[]);
    for span in spans {
        let cell = |name: &str| {
            let machine = name.replace(' ', "_");
            let value = span.get(name).or_else(|| span.get(machine)).unwrap();
            value.as_str().unwrap().to_owned()
        };
        let project = format!("project={}", cell("project"));
        let (from, to) = (
            format!("from={}", cell("begins")),
            format!("to={}", cell("ends")),
        );
        let whole = rows("report/figures", &[&project]);
        let part = rows("report/figures", &[&project, &from, &to]);
        assert_eq!(whole.len(), 5);
        assert_eq!(whole, part);
    }
}

#[tokio::test]
async fn texts_from_bitbucket_stay_texts() {
    let hostile = "</title></svg><script>alert('1')</script>\"onload=x & \u{202e}";
    let long = "x".repeat(20_000);
    let line = |value: Value| value.to_string();
    let request = |n: u32, title: &str, url: &str| {
        line(serde_json::json!({
            "id": format!("p{n}"), "base_repo_id": "web", "status": "OPEN", "title": title, "url": url,
            "author_name": hostile, "pull_request_key": n, "created_date": "2026-05-02T00:00:00Z",
        }))
    };
    let requests = [
        request(1, hostile, "javascript:alert(1)"),
        request(2, &long, "https://x/\"><b>"),
    ];
    let deployment = line(serde_json::json!({
        "id": "d1", "cicd_deployment_id": "D1", "cicd_scope_id": "web", "repo_id": "web", "result": "SUCCESS",
        "environment": "PRODUCTION", "original_environment": hostile, "commit_sha": "c1",
        "started_date": "2026-05-03T00:00:00Z", "finished_date": "2026-05-03T00:00:00Z",
    }));
    let mapping = ["repos", "cicd_scopes"].map(|table| {
        line(serde_json::json!({"project_name": hostile, "table": table, "row_id": "web"}))
    });
    let repository = line(serde_json::json!({"id": "web", "name": hostile}));
    let given = Outside::new()
        .table("domain.pull_requests", "ndjson", &requests.join("\n"), "")
        .table("domain.cicd_deployment_commits", "ndjson", &deployment, "")
        .table("domain.project_mapping", "ndjson", &mapping.join("\n"), "")
        .table("domain.repos", "ndjson", &repository, "");
    given.transform(&[]).await.unwrap();
    let lake = Lake::open(given.root().to_str().unwrap(), &Default::default())
        .await
        .unwrap();
    let page = render(&lake, None, &ReportOptions::default())
        .await
        .unwrap();
    assert!(page.contains("&lt;script&gt;alert("), "the title is shown");
    for markup in [
        "<script",
        "\"onload",
        "<b>",
        "href=\"javascript",
        "\u{202e}",
    ] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_writes_the_page_that_the_configuration_names() {
    let sandbox = Sandbox::builder().demo().start(0).await.unwrap();
    let selection = "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/platform\"]\n\
        [[project]]\nname = \"web\"\nrepositories = [\"acme/platform\"]\n";
    let report = |path: &str| format!("{selection}[report]\npath = {path:?}\n");
    let program = Program::beside(&sandbox, "auth = \"none\"", &report("page.html"));
    let page = program.folder.path().join("page.html");

    let finished = program.run(&["run"], &[]).await;
    assert!(finished.code <= 1, "{}", finished.stderr);
    let first = std::fs::read_to_string(&page).unwrap();
    assert!(first.contains("Delivery report: web"));
    assert!(
        finished.stdout.contains("report      "),
        "{}",
        finished.stdout
    );

    program.configure(
        &sandbox.endpoint(),
        "auth = \"none\"",
        &report("gone/page.html"),
    );
    let failed = program.run(&["run"], &[]).await;
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(
        failed.stderr.contains("the report is not written"),
        "{}",
        failed.stderr
    );
    let checked = program.run(&["check"], &[]).await;
    assert!(
        checked.stdout.contains("cannot be written"),
        "{}",
        checked.stdout
    );
}
