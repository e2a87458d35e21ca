//! Mutated `bitlake.toml` files are refused with the exit code of a configuration error, or read and usable.

use std::collections::BTreeMap;
use std::path::Path;

use bitlake::config::Config;
use bitlake::transform::contracts;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{HOSTILE, mutate, mutations};

/// A configuration with every section and nearly every key.
const WHOLE: &str = r#"
[lake]
url = "lake"
memory_limit = "4 GiB"
lease = "10 minutes"
partition = "day"
compression = "zstd"
compression_level = 3
keep_history = true
region = "eu-central-1"
timeout = "30 seconds"
[lake.tables]
"domain.repo_commits" = { partition = "repository" }
"dora.deployments" = { partition = "year", column = "created_date" }
[[connection]]
id = 1
name = "acme"
endpoint = "https://api.bitbucket.org/2.0/"
auth = "api-token"
email = "you@acme.example"
token = [{ env = "A", expires = 2027-01-31 }, { file = "/run/secrets/b" }]
proxy = "socks5://proxy:1080"
requests_per_hour = 800
[[connection]]
id = 2
name = "other"
auth = "none"
[[repositories]]
connection = "acme"
include = ["acme/*"]
exclude = ["acme/sandbox-*"]
rules = "operations"
[rules.operations]
entities = ["issues", "code", "review", "cicd", "accounts"]
issue_status = { todo = ["new", "open"], in_progress = [], done = ["resolved"], other = ["on hold"] }
issue_type = { bug = "INCIDENT" }
deployments = "steps"
steps = "all"
deployment_pattern = "(?i)deploy"
production_pattern = "(?i)prod"
tags = { pattern = '^v\d', limit = 20, pairs = [{ new = "v2.0.0", old = "v1.0.0" }] }
issue_key_pattern = '([A-Z][A-Z0-9]+-\d+|#\d+)'
cherry_pick_pattern = '\(#(\d+)\)$'
components = { api = "^services/api/" }
commits_diffs = "all"
[[project]]
name = "checkout"
repositories = ["acme/checkout-*"]
bitbucket_projects = ["CHK"]
timezone = "Europe/Berlin"
week_start = "sunday"
incident_window_hours = 24
baseline_days = 14
rework_days = 7
[sync]
since = "1 year"
full_every = "30 days"
skip_failed = false
cron = "0 2 * * *"
timezone = "Europe/Berlin"
commits = "git"
git_cache = "cache"
line_counts = false
[org]
users = "users.csv"
teams = "teams.csv"
[[table]]
name = "domain.issues"
location = "tickets/*.csv"
format = "csv"
query = "SELECT key AS id FROM external"
add = true
"#;

/// A lake for computations that read no tables.
const SMALL: &str = "[lake]\nurl = \"lake\"\n[sync]\nsince = \"1 year\"\n";

fn parse(text: &str, env: &BTreeMap<String, String>) -> Result<Config, String> {
    let path = Path::new("bitlake.toml");
    let config = Config::parse(text, path, env, &[]).and_then(|config| {
        contracts(&config)?;
        Ok(config)
    });
    config.map_err(|error| {
        assert_eq!(error.kind().exit_code(), 2, "{error}\n{text}");
        error.to_string()
    })
}

/// Compute everything that a run derives from a configuration, for any time of the clock.
fn use_it(config: &Config) {
    for now in [
        DateTime::UNIX_EPOCH,
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        "2026-11-30T00:00:00Z".parse().unwrap(),
    ] {
        let since = config.sync.since.resolve(now);
        assert!(since >= DateTime::UNIX_EPOCH);
        if let Some(span) = config.sync.full_every {
            let _ = span.has_passed(since, now);
        }
        if let Some(next) = config
            .sync
            .cron
            .as_ref()
            .and_then(|cron| cron.next_after(now))
        {
            assert!(next > now, "{next} is not after {now}");
        }
    }
    let _ = config.expiring();
}

#[test]
fn the_whole_configuration_is_one() {
    let config = parse(WHOLE, &BTreeMap::new()).unwrap();
    use_it(&config);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_bent_configuration_is_read_or_refused(mutations in mutations()) {
        if let Ok(config) = parse(&mutate(WHOLE, &mutations), &BTreeMap::new()) {
            use_it(&config);
        }
    }

    #[test]
    fn a_bent_variable_is_read_or_refused(
        key in "(LAKE|SYNC|ORG|RULES|CONNECTION|TABLE)(__[A-Z_]{0,12}){0,3}",
        value in prop_oneof![any::<String>(), proptest::sample::select(&HOSTILE[..]).prop_map(str::to_owned)],
        known in proptest::option::of(proptest::sample::select(&[
            "LAKE__URL", "LAKE__MEMORY_LIMIT", "LAKE__LEASE", "LAKE__COMPRESSION_LEVEL", "LAKE__PARTITION",
            "SYNC__SINCE", "SYNC__FULL_EVERY", "SYNC__CRON", "SYNC__TIMEZONE", "SYNC__SKIP_FAILED", "SYNC__GIT_CACHE",
        ][..])),
    ) {
        let value = value.trim_matches('"').to_owned();
        let key = format!("BITLAKE__{}", known.unwrap_or(&key));
        let path = Path::new("bitlake.toml");
        match Config::parse(SMALL, path, &BTreeMap::from([(key, value)]), &[]) {
            Ok(config) => use_it(&config),
            Err(error) => prop_assert_eq!(error.kind().exit_code(), 2, "{}", error),
        }
    }

    #[test]
    fn a_date_of_a_schedule_lies_ahead(
        fields in proptest::collection::vec("(\\*|[0-9]{1,2}|[0-9]-[0-9]{1,2}|\\*/[0-9]{1,2}|[0-9],[0-9]{1,3}|L|W|#|[a-z]{3}|\\?)", 5),
        zone in proptest::sample::select(&["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Africa/Monrovia"][..]),
        at in -70_000_000_000_i64..200_000_000_000,
    ) {
        let text = format!("[lake]\nurl = \"x\"\n[sync]\ncron = {:?}\ntimezone = {zone:?}\n", fields.join(" "));
        if let Ok(config) = parse(&text, &BTreeMap::new()) {
            use_it(&config);
            let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(at);
            let cron = config.sync.cron.as_ref().unwrap();
            if let Some(next) = cron.next_after(at) {
                prop_assert!(next > at);
            }
        }
    }
}

#[test]
fn a_deep_configuration_is_refused() {
    let n = 100_000;
    for text in [
        format!("a = {}", "[".repeat(n)),
        format!("a = {}", "{a = ".repeat(n)),
        format!("{}a = 1", "a.".repeat(n)),
        format!("[{}a]", "a.".repeat(n)),
        format!("[[{}a]]", "a.".repeat(n)),
        format!("a = {}1{}", "[".repeat(n), "]".repeat(n)),
        format!("a = \"{}\"", "x".repeat(n)),
        "[[table]]\n".repeat(n / 100),
    ] {
        assert!(parse(&text, &BTreeMap::new()).is_err(), "{}", &text[..40]);
    }
    let key = format!("BITLAKE__{}A", "A__".repeat(n));
    assert!(parse(WHOLE, &BTreeMap::from([(key, "1".to_owned())])).is_err());
}

/// Patterns have limits: none may take long to compile or to match.
#[test]
fn a_pattern_that_explodes_is_refused_or_quick() {
    for pattern in [
        "((((a{1000}){1000}){1000}){1000})".to_owned(),
        "(".repeat(10_000),
        "(a+)+$".to_owned(),
        format!("({})", vec!["a"; 50_000].join("|")),
    ] {
        let text = WHOLE.replace("(?i)deploy", &pattern);
        let started = std::time::Instant::now();
        let _ = parse(&text, &BTreeMap::new());
        assert!(started.elapsed().as_secs() < 10, "{}", &pattern[..8]);
    }
    for globs in [
        "acme/{a,{b,{c",
        "acme/[z-a]",
        "acme/**/**",
        "/",
        "acme/",
        "*/*",
        "acme/\u{1b}[2J",
    ] {
        let _ = parse(&WHOLE.replace("acme/checkout-*", globs), &BTreeMap::new());
    }
}
