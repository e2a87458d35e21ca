//! The configuration of valid files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::super::*;
use super::{BASE, message, parse, parse_with};

#[test]
fn a_configuration_needs_no_rules() {
    let config = parse(BASE).unwrap();
    let rules = &config.rules["default"];
    assert_eq!(config.repositories[0].rules, "default");
    assert_eq!(rules.entities.len(), 5);
    assert_eq!(rules.issue_type["bug"], "BUG");
    assert_eq!(rules.issue_type["proposal"], "REQUIREMENT");
    assert_eq!(rules.issue_status["on hold"], "OTHER");
    assert_eq!(rules.issue_status["resolved"], "DONE");
    assert_eq!(rules.issue_status["new"], "TODO");
    assert_eq!(rules.deployments, Deployments::Bitbucket);
    assert_eq!(rules.deployment_pattern, None);
    assert_eq!(rules.tags.limit, 10);
    assert_eq!(rules.tags.order, "reverse semver");
    assert_eq!(rules.place.to_string(), "bitlake.toml");
    assert_eq!(config.sync.since, Since::Months(6));
    assert_eq!(config.sync.full_every, Some(Since::Months(3)));
    assert!(config.sync.skip_failed);
}

#[test]
fn a_lake_without_collection_needs_no_connection() {
    let config = parse("[lake]\nurl = \"out\"\n").unwrap();
    assert!(config.connections.is_empty());
}

#[test]
fn every_key_is_read() {
    let config = parse(
        r#"
[lake]
url = "s3://analytics/bitlake"
region = "eu-central-1"
allow_http = true
memory_limit = "2 GiB"
lease = "90 seconds"

[[connection]]
id = 7
name = "acme"
endpoint = "http://127.0.0.1:8080/2.0"
auth = "api-token"
email = "ci@acme.example"
token = [{ env = "ONE" }, { file = "/run/two" }]
proxy = "socks5://proxy:1080"
requests_per_hour = 900

[[repositories]]
connection = "acme"
include = ["acme/*"]
rules = "strict"

[[project]]
name = "checkout"
repositories = ["acme/checkout-*"]
bitbucket_projects = ["CHK"]
timezone = "Europe/Berlin"
week_start = "sunday"
incident_window_hours = 24

[rules.strict]
entities = ["code", "review"]
issue_type = { bug = "INCIDENT" }
deployments = "both"
deployment_pattern = "^deploy"
production_pattern = ""
tags = { pattern = "", limit = 3, pairs = [{ new = "v2", old = "v1" }] }
cherry_pick_pattern = '\(#(\d+)\)'
hotfix_pattern = ""
change_branches = ["^main$", "^release/"]
commits_diffs = "all"
steps = "all"
components = { api = "^api/" }

[sync]
since = 2026-01-31
full_every = "30 days"
skip_failed = false
cron = "0 2 * * MON-FRI"
timezone = "Europe/Berlin"

[[table]]
name = "domain.incidents"
location = "s3://ops/incidents/*.parquet"
format = "parquet"
query = "SELECT key AS id FROM external"
add = true

[org]
users = "users.csv"

[cluster]
workers = ["worker-0:50051", "http://10.0.0.7:50051"]
"#,
    )
    .unwrap();
    let workers: Vec<_> = config.cluster.workers.iter().map(Url::as_str).collect();
    assert_eq!(
        workers,
        ["http://worker-0:50051/", "http://10.0.0.7:50051/"]
    );
    assert_eq!(config.lake.options["region"], "eu-central-1");
    assert_eq!(config.lake.options["allow_http"], "true");
    assert_eq!(config.lake.memory_limit, Some(2 << 30));
    assert_eq!(config.lake.lease, Some(Duration::from_secs(90)));
    let connection = &config.connections[0];
    assert_eq!(connection.id, 7);
    assert_eq!(
        connection.endpoint.as_str(),
        "http://127.0.0.1:8080/2.0/",
        "a slash is added"
    );
    assert_eq!(connection.requests_per_hour, Some(900));
    assert_eq!(connection.place.line, 9);
    let Auth::ApiToken { email, tokens } = &connection.auth else {
        panic!("{:?}", connection.auth)
    };
    assert_eq!(email, "ci@acme.example");
    let SecretSource::Env {
        variable, place, ..
    } = &tokens[0]
    else {
        panic!("{tokens:?}")
    };
    assert_eq!((variable.as_str(), place.line), ("ONE", 15));
    assert!(matches!(&tokens[1], SecretSource::File { path, .. } if path == Path::new("/run/two")));
    let project = &config.projects[0];
    assert_eq!(project.timezone, chrono_tz::Europe::Berlin);
    assert_eq!(project.week_start, chrono::Weekday::Sun);
    assert_eq!(project.incident_window_hours, 24);
    assert_eq!((project.baseline_days, project.rework_days), (30, 14));
    let rules = &config.rules["strict"];
    assert_eq!(
        rules.entities.iter().copied().collect::<Vec<_>>(),
        [EntityGroup::Code, EntityGroup::Review]
    );
    assert_eq!(rules.issue_type["bug"], "INCIDENT");
    assert_eq!(rules.issue_type["task"], "REQUIREMENT", "kept");
    assert_eq!(rules.deployments.as_str(), "both");
    assert_eq!(rules.deployment_pattern.as_deref(), Some("^deploy"));
    assert_eq!(rules.production_pattern, None, "an empty pattern is none");
    assert_eq!(rules.tags.pattern, None, "an empty pattern is none");
    assert_eq!(rules.tags.limit, 3);
    assert_eq!(rules.tags.order, "reverse semver", "kept");
    assert_eq!(rules.tags.pairs, [("v2".to_owned(), "v1".to_owned())]);
    assert!(rules.issue_key_pattern.is_some(), "kept");
    assert!(rules.cherry_pick_pattern.is_some());
    assert_eq!(rules.hotfix_pattern, None, "an empty pattern is none");
    let branches = rules.change_branches.as_deref();
    assert_eq!(branches, Some("(?:^main$)|(?:^release/)"));
    assert_eq!(rules.commits_diffs.as_str(), "all");
    assert_eq!(rules.steps, StepsRule::All);
    assert_eq!(rules.components["api"], "^api/");
    assert_eq!(
        config.sync.since,
        Since::Date("2026-01-31".parse().unwrap())
    );
    assert_eq!(config.sync.full_every, Some(Since::Days(30)));
    assert!(!config.sync.skip_failed);
    let table = &config.tables[0];
    assert!(table.add);
    assert_eq!(
        (table.layer.as_str(), table.table.as_str()),
        ("domain", "incidents")
    );
    assert_eq!(table.format, OutsideFormat::Parquet);
    assert_eq!(config.org.users, Some(PathBuf::from("users.csv")));
}

#[test]
fn a_status_list_replaces_its_default_and_removes_its_states_from_the_other_lists() {
    let rules = "[rules.default.issue_status]\ndone = [\"Closed\", \"wontfix\"]\n";
    let config = parse(&format!("{BASE}{rules}")).unwrap();
    let status = &config.rules["default"].issue_status;
    assert_eq!(status["closed"], "DONE");
    assert_eq!(
        status["wontfix"], "DONE",
        "taken from the default of `other`"
    );
    assert_eq!(status.get("resolved"), None, "the list was replaced");
    assert_eq!(status["open"], "TODO", "kept");
    assert_eq!(status["invalid"], "OTHER", "kept");
}

#[test]
fn the_environment_overrides_the_file_and_flags_override_the_environment() {
    let env = [
        ("BITLAKE__LAKE__URL", "from-env"),
        ("BITLAKE__LAKE__REGION", "here"),
        ("BITLAKE__SYNC__SKIP_FAILED", "false"),
        ("BITLAKE__RULES__DEFAULT__TAGS__LIMIT", "5"),
        ("BITLAKE__CLUSTER__WORKERS", "a:1, b:2"),
        ("BITLAKE_TOKEN", "is no override"),
    ];
    let config = parse_with(BASE, &env, &[]).unwrap();
    assert_eq!(config.lake.url, "from-env");
    assert_eq!(config.lake.options["region"], "here");
    assert!(!config.sync.skip_failed);
    assert_eq!(config.rules["default"].tags.limit, 5);
    assert_eq!(config.cluster.workers.len(), 2);

    let config = parse_with(BASE, &env, &[("lake.url", "from-flag")]).unwrap();
    assert_eq!(config.lake.url, "from-flag");
}

#[test]
fn an_override_creates_a_missing_section() {
    let config = parse_with("", &[], &[("lake.url", "out")]).unwrap();
    assert_eq!(config.lake.url, "out");
}

#[test]
fn an_invalid_override_is_reported_with_its_variable() {
    let with = |variable, value| message(parse_with(BASE, &[(variable, value)], &[]));
    assert_eq!(
        with("BITLAKE__LAEK__URL", "x"),
        "unknown key `laek` (from=BITLAKE__LAEK__URL): did you mean `lake`?"
    );
    assert_eq!(
        with("BITLAKE__SYNC__SKIP_FAILED", "maybe"),
        "`skip_failed` in [sync] must be true or false, not a single value \
         (from=BITLAKE__SYNC__SKIP_FAILED)"
    );
    assert_eq!(
        with("BITLAKE__CONNECTION__ID", "2"),
        "`id` is part of a list, and lists cannot be overridden (from=BITLAKE__CONNECTION__ID): \
         change the value in the file"
    );
    assert_eq!(
        with("BITLAKE__LAKE__URL__X", "2"),
        "the parent of `x` is not a table (from=BITLAKE__LAKE__URL__X)"
    );
}

#[test]
fn paths_in_the_file_are_relative_to_the_file() {
    let text = "lake = { url = \"out\" }\n[org]\nusers = \"users.csv\"\n";
    let config = parse_with(text, &[], &[]).unwrap();
    assert_eq!(config.lake.url, "conf/out");
    assert_eq!(config.org.users, Some(PathBuf::from("conf/users.csv")));
}

#[test]
fn a_missing_file_is_an_error_for_load_and_not_for_reading_a_lake() {
    let path = Path::new("no-such-folder/bitlake.toml");
    let none = std::collections::BTreeMap::new();
    let error = message(Config::load(path, &none, &[]));
    assert!(
        error.starts_with("cannot read the configuration no-such-folder/bitlake.toml: ")
            && error
                .ends_with(": create one with `bitlake init`, or name another file with --config"),
        "{error}"
    );
    let overrides = [("lake.url", "out".to_owned())];
    let config = Config::load_if_present(path, &none, &overrides).unwrap();
    assert_eq!(config.lake.url, "out");
}

#[test]
fn the_layout_is_read() {
    use datafusion::parquet::basic::Compression;
    let layout = |text: &str| {
        let text = format!("[lake]\nurl = \"x\"\n{text}\n");
        parse(&text).unwrap().lake.layout
    };
    let plain = layout("");
    assert_eq!((plain.compression, plain.partition), (None, None));
    assert_eq!(layout("compression = \"zstd\"").compression, None);
    assert_eq!(
        layout("compression = \"none\"").compression,
        Some(Compression::UNCOMPRESSED)
    );
    let Some(Compression::ZSTD(level)) = layout("compression_level = 9").compression else {
        panic!("a level is zstd's");
    };
    assert_eq!(level.compression_level(), 9);
    let tables = layout(
        "partition = \"day\"\n[lake.tables]\n\"domain.commits\" = { partition = \"year\", column = \"authored_date\" }",
    );
    assert_eq!(tables.partition, Some(PartitionUnit::Day));
    let commits = &tables.tables[0];
    assert_eq!(commits.name, "domain.commits");
    assert_eq!(commits.partition, PartitionUnit::Year);
    assert_eq!(commits.column.as_deref(), Some("authored_date"));
}

#[test]
fn the_folder_of_clones_defaults_to_a_sibling_of_the_lake_or_the_configuration() {
    let git = |lake: &str, keys: &str| {
        let text = format!("lake = {{ url = \"{lake}\" }}\n[sync]\n{keys}\n");
        let config = parse_with(&text, &[], &[]).unwrap();
        config.sync.git.map(|git| (git.cache, git.line_counts))
    };
    let at = |path: &str, lines| Some((PathBuf::from(path), lines));
    assert_eq!(git("out", ""), None);
    assert_eq!(
        git("out", "commits = \"api\"\ngit_cache = \"clones\""),
        None
    );
    let by_git = "commits = \"git\"";
    assert_eq!(git("out", by_git), at("conf/.bitlake-cache/git", true));
    assert_eq!(
        git("/data/out", by_git),
        at("/data/.bitlake-cache/git", true)
    );
    assert_eq!(
        git("s3://b/out", by_git),
        at("conf/.bitlake-cache/git", true)
    );
    let given = "commits = \"git\"\ngit_cache = \"clones\"\nline_counts = false";
    assert_eq!(git("out", given), at("conf/clones", false));
}

#[test]
fn the_git_endpoint_defaults_to_the_host_of_the_web_pages() {
    let git = |endpoint: &str| {
        let text = BASE.replace("id = 1", &format!("id = 1\n{endpoint}"));
        parse(&text).unwrap().connections[0]
            .git_endpoint
            .to_string()
    };
    assert_eq!(git(""), "https://bitbucket.org/");
    let sandbox = "endpoint = \"http://127.0.0.1:8080/2.0\"";
    assert_eq!(git(sandbox), "http://127.0.0.1:8080/");
    let given = "git_endpoint = \"https://git.acme.example/bitbucket\"";
    assert_eq!(git(given), "https://git.acme.example/bitbucket/");
}
