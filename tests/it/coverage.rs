//! Rows that figures leave out are counted, and the remaining ones agree with `dora_debug/*`, which counts them again.

use std::path::Path;

use serde_json::Value;

use super::demo::{bitlake, demo_lake, text};
use super::outside::Outside;

/// Return a report's rows as JSON objects.
fn rows(lake: &Path, report: &str, params: &[&str]) -> Vec<Value> {
    let mut args = vec!["--lake", lake.to_str().unwrap(), "query", report];
    args.extend(["--format", "json"]);
    args.extend(params.iter().flat_map(|param| ["--param", param]));
    let output = bitlake(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Report, its recounted column, and the published column.
const RECOMPUTED: [(&str, &str, &str); 7] = [
    ("monthly_deployments", "counted", "published"),
    (
        "change_failure_rate_recomputed",
        "failed_pct",
        "published_pct",
    ),
    (
        "change_failure_rate_recomputed",
        "devlake_pct",
        "devlake_stored_pct",
    ),
    ("lead_time_recomputed", "recomputed_h", "published_h"),
    ("lead_time_recomputed", "devlake_h", "devlake_stored_h"),
    ("recovery_time_recomputed", "recomputed_h", "published_h"),
    ("recovery_time_recomputed", "devlake_h", "devlake_stored_h"),
];

/// Compare every period of every project and return the number of compared figures.
fn compare(lake: &Path) -> usize {
    let mut compared = 0;
    for (report, recomputed, published) in RECOMPUTED {
        for interval in ["month", "all"] {
            let param = format!("interval={interval}");
            for row in rows(lake, &format!("dora_debug/{report}"), &[&param]) {
                // An unpublished figure has a reason; DevLake shows 0 instead.
                if row[recomputed].is_null() || row[published].is_null() {
                    continue;
                }
                assert_eq!(
                    row[recomputed].as_f64(),
                    row[published].as_f64(),
                    "{report}, {published}: {row}"
                );
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn recounted_rows_agree_with_the_figures_of_the_demo() {
    assert!(compare(demo_lake()) > 100);
}

/// Three releases, a change, and an incident that names only its project.
fn shop() -> Outside {
    Outside::new()
        .csv(
            "domain.project_mapping",
            "project_name,table,row_id
             shop,cicd_scopes,s1
             shop,repos,r1",
        )
        .csv(
            "domain.cicd_deployment_commits",
            "id,cicd_scope_id,cicd_deployment_id,result,status,environment,started_date,finished_date,commit_sha,repo_id,repo_url
             c1,s1,d1,SUCCESS,DONE,PRODUCTION,2026-04-01 10:00:00,2026-04-01 10:05:00,a1,r1,https://x/r1
             c2,s1,d2,SUCCESS,DONE,PRODUCTION,2026-05-10 10:00:00,2026-05-10 10:05:00,a2,r1,https://x/r1
             c3,s1,d3,SUCCESS,DONE,PRODUCTION,2026-05-20 10:00:00,2026-05-20 10:05:00,a3,r1,https://x/r1",
        )
        .csv(
            "domain.commit_parents",
            "commit_sha,parent_commit_sha,parent_index
             a2,a1,0
             a3,a2,0",
        )
        .csv(
            "domain.pull_requests",
            "id,base_repo_id,status,merge_commit_sha,created_date,merged_date
             p1,r1,MERGED,a2,2026-05-08 10:00:00,2026-05-09 10:00:00",
        )
        .csv(
            "domain.pull_request_commits",
            "pull_request_id,commit_sha,commit_authored_date
             p1,a2,2026-05-07 10:00:00",
        )
        .csv(
            "domain.incidents",
            "id,incident_key,project_name,created_date,resolution_date
             i1,OPS-1,shop,2026-05-10 11:00:00,2026-05-10 12:05:00",
        )
}

#[tokio::test]
async fn recounted_rows_agree_with_the_figures_of_outside_tables() {
    let given = shop();
    given.transform(&[]).await.unwrap();
    let lake = given.root();
    assert!(compare(&lake) >= 8);
    let failed: Vec<_> = rows(&lake, "dora_debug/change_failure_rate_recomputed", &[])
        .iter()
        .map(|row| (row["period"].clone(), row["failed"].clone()))
        .collect();
    assert_eq!(
        failed,
        [("2026-04".into(), 0.into()), ("2026-05".into(), 1.into())]
    );
}

#[tokio::test]
async fn an_incident_that_names_only_its_project_is_in_every_report_of_incidents() {
    let given = shop();
    given.transform(&[]).await.unwrap();
    let lake = given.root();
    let of_shop = |report: &str| rows(&lake, report, &["project=shop"]);

    let [linked] = &of_shop("dora_debug/incident_deployments")[..] else {
        panic!("one incident");
    };
    assert_eq!(linked["incident"], "OPS-1");
    assert_eq!(linked["by_evidence"], "d2");
    assert_eq!(linked["agrees"], true, "DevLake has no such incidents");

    let [counted] = &of_shop("dora_debug/incidents_by_source")[..] else {
        panic!("one source");
    };
    assert_eq!(counted["incidents"], 1);

    let events = of_shop("dora_debug/deployments_and_incidents");
    let events: Vec<_> = events
        .iter()
        .map(|row| row["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        [
            "deployment",
            "deployment",
            "incident",
            "incident resolved",
            "deployment"
        ]
    );
}

/// Create a configuration with outside tables only: two of three deployments are in a scope without a project, and one is
/// in a known repository without a project.
fn unmapped() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tables = [
        (
            "project_mapping",
            "project_name,table,row_id\nshop,cicd_scopes,scope:web\n",
        ),
        ("cicd_scopes", "id,name\nscope:web,web\nscope:tools,tools\n"),
        (
            "cicd_deployment_commits",
            "id,cicd_scope_id,cicd_deployment_id,result,environment,finished_date,commit_sha,repo_url\n\
             c1,scope:web,d1,SUCCESS,PRODUCTION,2026-09-01 10:05:00,a1,https://x/web\n\
             c2,scope:wed,d2,SUCCESS,PRODUCTION,2026-09-10 10:05:00,a2,https://x/web\n\
             c3,scope:wed,d3,SUCCESS,PRODUCTION,2026-09-20 10:05:00,a3,https://x/web\n\
             c4,scope:tools,d4,SUCCESS,PRODUCTION,2026-09-20 10:05:00,a4,https://x/tools\n",
        ),
    ];
    let mut config = "[lake]\nurl = \"lake\"\n".to_owned();
    for (table, rows) in tables {
        std::fs::write(folder.path().join(format!("{table}.csv")), rows).unwrap();
        config.push_str(&format!(
            "[[table]]\nname = \"domain.{table}\"\nlocation = \"{table}.csv\"\nformat = \"csv\"\n"
        ));
    }
    std::fs::write(folder.path().join("bitlake.toml"), config).unwrap();
    folder
}

const LOST: &str = "deployments in a scope that no project has (cicd_deployment_commits.cicd_scope_id): \
                    `scope:wed` (nearest known: `scope:web`)";
const UNCLAIMED: &str = "deployments in a scope that no project has (cicd_deployment_commits.cicd_scope_id): `scope:tools`";

#[test]
fn deployments_in_a_scope_without_a_project_are_in_the_output_the_report_and_the_check() {
    let folder = unmapped();
    let config = folder.path().join("bitlake.toml");
    let config = config.to_str().unwrap();

    let output = bitlake(&["--config", config, "transform"]);
    assert_eq!(output.status.code(), Some(0));
    let warned = text(&output.stderr);
    assert_eq!(warned.matches(LOST).count(), 1, "{warned}");
    assert!(
        !warned.contains("scope:tools"),
        "no cause for alarm: {warned}"
    );
    let noted = text(&output.stdout);
    let line = format!("note        {UNCLAIMED} (n = 1)\n");
    assert!(noted.contains(&line), "{noted}");

    let output = bitlake(&["--config", config, "--log-format", "json", "transform"]);
    let stdout = text(&output.stdout);
    let report: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let lost = &report["transform"]["warnings"];
    assert!(
        lost.as_array()
            .unwrap()
            .contains(&serde_json::json!({"repository": "", "kind": LOST, "n": 2})),
        "{lost}"
    );
    let unclaimed = report["transform"]["notices"].to_string();
    assert!(unclaimed.contains(UNCLAIMED), "{unclaimed}");

    let checked = text(&bitlake(&["--config", config, "check"]).stdout);
    let line = |level: &str, printed: &str| {
        let mut lines = checked.lines();
        lines.any(|line| line.starts_with(level) && line.contains(printed))
    };
    assert!(line("warn", LOST) && line("ok", UNCLAIMED), "{checked}");
}
