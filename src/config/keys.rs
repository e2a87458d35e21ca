//! Every key of `bitlake.toml` with its values, its default and its effect.
//!
//! One list serves two readers: the parser refuses a key that is not here, and the configuration reference
//! (`docs/src/reference/configuration.md`) is generated from it, so neither can know a key that the other lacks.
//!
//! ```text
//! keys ─┬─▶ Section::open (unknown key, did you mean …?)
//!       └─▶ REFERENCE ─▶ docs/src/reference/configuration.md
//! ```

/// The keys of one table of the file.
#[derive(Debug)]
pub struct KeyTable {
    /// As the file writes it: `[lake]`, `[[connection]]`, `[rules.NAME]`.
    pub title: &'static str,
    /// Describes the table in one or two sentences of Markdown.
    pub description: &'static str,
    /// The keys in the order of the reference.
    pub keys: &'static [ConfigKey],
}

/// One key of a table.
#[derive(Debug)]
pub struct ConfigKey {
    /// The key's name.
    pub name: &'static str,
    /// The values that it takes, in Markdown.
    pub values: &'static str,
    /// The value that applies when the key is missing, in Markdown; empty when there is none.
    pub default: &'static str,
    /// The key's effect, in Markdown.
    pub description: &'static str,
}

impl KeyTable {
    /// Return the names of the keys.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

const fn key(
    name: &'static str,
    values: &'static str,
    default: &'static str,
    description: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        values,
        default,
        description,
    }
}

/// Every table of the file, in the order of the reference.
pub const REFERENCE: [&KeyTable; 20] = [
    &ROOT,
    &LAKE,
    &LAKE_TABLE,
    &LAKE_STORE,
    &CONNECTION,
    &CREDENTIAL,
    &REPOSITORIES,
    &PROJECT,
    &RULES,
    &ISSUE_STATUS,
    &ISSUE_TYPE,
    &TAGS,
    &TAG_PAIR,
    &SYNC,
    &SYNC_GIT,
    &TABLE,
    &ORG,
    &CLUSTER,
    &REPORT,
    &METRICS,
];

pub(super) const ROOT: KeyTable = KeyTable {
    title: "The file",
    description: "The tables at the top level.",
    keys: &[
        key("lake", "table", "required", "Where the Parquet is written."),
        key(
            "connection",
            "list of tables",
            "none",
            "Bitbucket identities. `transform` and `query` need none.",
        ),
        key(
            "repositories",
            "list of tables",
            "none",
            "The repositories to collect.",
        ),
        key(
            "project",
            "list of tables",
            "none",
            "The products or teams that metrics are computed for.",
        ),
        key(
            "rules",
            "table of tables",
            "the rule set `default`",
            "How issues, deployments, tags and pull requests are classified.",
        ),
        key(
            "sync",
            "table",
            "the defaults below",
            "How far back, how often and from which source records are collected.",
        ),
        key(
            "table",
            "list of tables",
            "none",
            "Outside data that replaces or extends a table of the lake.",
        ),
        key(
            "org",
            "table",
            "none",
            "CSV files that describe people and teams.",
        ),
        key(
            "cluster",
            "table",
            "none",
            "The workers that compute the tables. Without it, one process does.",
        ),
        key("report", "table", "none", "The page that a run writes."),
        key(
            "metrics",
            "table",
            "none",
            "The metrics of the last run, for Prometheus.",
        ),
    ],
};

pub(super) const LAKE: KeyTable = KeyTable {
    title: "[lake]",
    description: "Where the Parquet is written, and in which layout.",
    keys: &[
        key(
            "url",
            "path or `s3://bucket/prefix`",
            "required",
            "The lake's folder. The path of the URL is the prefix, so one bucket can hold several lakes. `--lake` overrides it.",
        ),
        key(
            "lease",
            "`\"90 seconds\"`, `\"10 minutes\"`",
            "`\"10 minutes\"`",
            "On S3: how long a publish may be silent before another run takes over.",
        ),
        key(
            "memory_limit",
            "`\"4 GiB\"`, `\"1536 MiB\"`",
            "`\"2 GiB\"`",
            "How much memory the process may use; at least 1 GiB. Sorts and aggregates that do not fit are written to `TMPDIR`.",
        ),
        key(
            "keep_history",
            "boolean",
            "`false`",
            "Keep every version of every record, in the layer `history`.",
        ),
        key(
            "longest_span",
            "span, as `\"20 years\"`",
            "`\"20 years\"`",
            "The longest time that periods are generated for when only outside tables say how long a project has existed. Records farther from each other are reported as outliers.",
        ),
        key(
            "keep_runs",
            "integer",
            "`1000`",
            "How many run reports are kept at most.",
        ),
        key(
            "keep_run_days",
            "integer",
            "`400`",
            "For how many days a run report is kept at most.",
        ),
        key(
            "compression",
            "`zstd`, `snappy`, `none`",
            "`zstd`",
            "The codec of files that are written from now on.",
        ),
        key(
            "compression_level",
            "integer from 1 to 22",
            "`3`",
            "The level of zstd.",
        ),
        key(
            "partition",
            "`month`, `day`, `year`, `repository`, `none`",
            "the schema's own",
            "How tables of `domain`, `dora` and `metrics` are partitioned, where the table allows it.",
        ),
        key(
            "tables",
            "table of tables",
            "none",
            "The partitioning of single tables; takes precedence over `partition`.",
        ),
    ],
};

pub(super) const LAKE_TABLE: KeyTable = KeyTable {
    title: "[lake.tables.\"LAYER.TABLE\"]",
    description: "The partitioning of one table.",
    keys: &[
        key(
            "partition",
            "`month`, `day`, `year`, `repository`, `none`",
            "required",
            "What makes one file of the table.",
        ),
        key(
            "column",
            "string",
            "the schema's own",
            "The timestamp or repository column to partition by. It must never change for a record; otherwise a reader can see the row in two files while it moves.",
        ),
    ],
};

pub(super) const LAKE_STORE: KeyTable = KeyTable {
    title: "[lake], for S3",
    description: "Settings of the object store, under the names that the `object_store` crate gives them. Credentials are refused here: set them in the environment.",
    keys: &[
        key(
            "allow_http",
            "boolean",
            "`false`",
            "Allow plain HTTP to the endpoint.",
        ),
        key(
            "allow_invalid_certificates",
            "boolean",
            "`false`",
            "Accept any TLS certificate. For tests only.",
        ),
        key(
            "checksum_algorithm",
            "`sha256`",
            "none",
            "The checksum that is sent with every put.",
        ),
        key(
            "connect_timeout",
            "`\"5 seconds\"`",
            "5 seconds",
            "How long a connection may take to open.",
        ),
        key(
            "endpoint",
            "URL",
            "AWS, by region",
            "The address of a store other than AWS.",
        ),
        key(
            "proxy_url",
            "URL",
            "none",
            "The proxy for requests to the store.",
        ),
        key(
            "region",
            "string",
            "the profile's, else `us-east-1`",
            "The bucket's region.",
        ),
        key(
            "request_payer",
            "boolean",
            "`false`",
            "Pay for requests to a requester-pays bucket.",
        ),
        key(
            "s3_express",
            "boolean",
            "`false`",
            "The bucket is a directory bucket of S3 Express One Zone.",
        ),
        key(
            "skip_signature",
            "boolean",
            "`false`",
            "Send unsigned requests, for public buckets.",
        ),
        key(
            "sse_kms_key_id",
            "string",
            "none",
            "The KMS key that encrypts the objects.",
        ),
        key(
            "timeout",
            "`\"30 seconds\"`",
            "30 seconds",
            "How long one request may take.",
        ),
        key(
            "unsigned_payload",
            "boolean",
            "`false`",
            "Leave the payload out of the signature.",
        ),
        key(
            "virtual_hosted_style_request",
            "boolean",
            "`false`",
            "Put the bucket's name in the host instead of the path.",
        ),
    ],
};

pub(super) const CONNECTION: KeyTable = KeyTable {
    title: "[[connection]]",
    description: "One Bitbucket identity. The keys after `auth` belong to one kind of credential; a key of another kind is an error.",
    keys: &[
        key(
            "id",
            "integer from 1",
            "required",
            "Part of every id in the domain tables. Never change it.",
        ),
        key(
            "name",
            "string",
            "required",
            "The name by which `[[repositories]]` refers to the connection.",
        ),
        key(
            "endpoint",
            "URL",
            "`https://api.bitbucket.org/2.0/`",
            "The API's address; for tests and reverse proxies. It must be HTTPS, except on loopback.",
        ),
        key(
            "git_endpoint",
            "URL",
            "`https://bitbucket.org/`",
            "Where repositories are cloned from. The default follows `endpoint`.",
        ),
        key(
            "proxy",
            "`http://`, `https://`, `socks5://` or `socks5h://` and `host:port`",
            "`HTTPS_PROXY`, `NO_PROXY`",
            "The proxy for this connection, without a password.",
        ),
        key(
            "requests_per_hour",
            "integer from 1 to 1000000",
            "what the server allows",
            "An upper limit, which leaves the rest of the quota to other users of the same credentials.",
        ),
        key(
            "auth",
            "`api-token`, `access-token`, `oauth-client`, `app-password`, `none`",
            "required",
            "The kind of credential.",
        ),
        key(
            "email",
            "string",
            "required for `api-token`",
            "The Atlassian account's e-mail address.",
        ),
        key(
            "token",
            "credential, or a list of them",
            "required for `api-token` and `access-token`",
            "The token. A list spreads the requests over several identities.",
        ),
        key(
            "expires",
            "date",
            "unknown",
            "The last day of the token. Every run names it from thirty days before.",
        ),
        key(
            "key",
            "credential",
            "required for `oauth-client`",
            "The OAuth consumer's key.",
        ),
        key(
            "secret",
            "credential",
            "required for `oauth-client`",
            "The OAuth consumer's secret.",
        ),
        key(
            "token_url",
            "URL",
            "`https://bitbucket.org/site/oauth2/access_token`",
            "The address that grants OAuth tokens.",
        ),
        key(
            "username",
            "string",
            "required for `app-password`",
            "The Bitbucket user name.",
        ),
        key(
            "password",
            "credential",
            "required for `app-password`",
            "The app password. `token` is accepted in its place.",
        ),
    ],
};

pub(super) const CREDENTIAL: KeyTable = KeyTable {
    title: "A credential",
    description: "The value of `token`, `key`, `secret` and `password`: where to read the secret, never the secret itself. Exactly one of `env` and `file` is required.",
    keys: &[
        key("env", "string", "", "The environment variable to read."),
        key(
            "file",
            "path",
            "",
            "The file to read. Blanks, line ends and a byte order mark around the content are ignored.",
        ),
        key(
            "expires",
            "date",
            "the connection's `expires`",
            "The last day of this credential.",
        ),
    ],
};

pub(super) const REPOSITORIES: KeyTable = KeyTable {
    title: "[[repositories]]",
    description: "Repositories to collect, and the rule set that applies to them.",
    keys: &[
        key(
            "connection",
            "string",
            "required",
            "The name of the `[[connection]]` to use.",
        ),
        key(
            "include",
            "list of patterns",
            "required",
            "`workspace/slug`, with globs in the slug. A public repository of another workspace needs its full name. A pattern that matches nothing is an error.",
        ),
        key(
            "exclude",
            "list of patterns",
            "none",
            "Repositories to leave out.",
        ),
        key(
            "rules",
            "string",
            "`default`",
            "The rule set. A repository under two rule sets is an error.",
        ),
    ],
};

pub(super) const PROJECT: KeyTable = KeyTable {
    title: "[[project]]",
    description: "A product or team that metrics are computed for. At least one of `repositories` and `bitbucket_projects` is required.",
    keys: &[
        key("name", "string", "required", "The project's name."),
        key(
            "repositories",
            "list of patterns",
            "none",
            "The repositories of the project, as `workspace/slug` with globs in the slug. Each must be selected by a `[[repositories]]`.",
        ),
        key(
            "bitbucket_projects",
            "list of strings",
            "none",
            "Keys of Bitbucket projects, as `CHK`; all their repositories belong to the project.",
        ),
        key(
            "timezone",
            "name of the tz database",
            "`UTC`",
            "The time zone of the project's days, weeks and months.",
        ),
        key(
            "week_start",
            "`monday` … `sunday`",
            "`monday`",
            "The first day of the week.",
        ),
        key(
            "incident_window_hours",
            "integer from 1",
            "`72`",
            "How long after a deployment an incident may begin and still be linked to it without naming it.",
        ),
        key(
            "baseline_days",
            "integer from 1",
            "`30`",
            "How old a change in an environment's first known deployment may be and still count as delivered by it.",
        ),
        key(
            "rework_days",
            "integer from 1",
            "`14`",
            "How long after its production deployment the revert of a change still counts as rework.",
        ),
    ],
};

pub(super) const RULES: KeyTable = KeyTable {
    title: "[rules.NAME]",
    description: "One rule set. `default` always exists; a set in the file changes only the keys that it names. An empty pattern (`\"\"`) disables a pattern.",
    keys: &[
        key(
            "entities",
            "list of `issues`, `code`, `review`, `cicd`, `accounts`",
            "all of them",
            "What is collected. A group that is left out costs no request.",
        ),
        key(
            "issue_status",
            "table",
            "see below",
            "Maps Bitbucket's issue states to `TODO`, `IN_PROGRESS`, `DONE` and `OTHER`.",
        ),
        key(
            "issue_type",
            "table",
            "see below",
            "Maps Bitbucket's issue kinds to `BUG`, `REQUIREMENT`, `INCIDENT` and `TASK`.",
        ),
        key(
            "deployments",
            "`bitbucket`, `steps`, `both`",
            "`bitbucket`",
            "What counts as a deployment: Bitbucket's own deployments, pipeline steps selected by `deployment_pattern`, or both without counting a release twice.",
        ),
        key(
            "steps",
            "`deployments`, `all`, `none`",
            "`deployments`",
            "Whose steps are collected. Each pipeline's steps cost one request; `deployments` collects only the steps that a deployment's result depends on.",
        ),
        key(
            "deployment_pattern",
            "regular expression",
            "none",
            "A step, branch or tag whose name matches is a deployment. Required for `deployments = \"steps\"` and `\"both\"`.",
        ),
        key(
            "production_pattern",
            "regular expression",
            "none",
            "A deployment found by `deployment_pattern` is a production deployment if its name matches. Without this pattern all of them are.",
        ),
        key(
            "tags",
            "table",
            "see below",
            "Which tags are releases, and which are compared.",
        ),
        key(
            "issue_key_pattern",
            "regular expression",
            r"`([A-Z][A-Z0-9]+-\d+\|#\d+)`",
            "Finds issue keys in texts. The first group, if there is one, is the key.",
        ),
        key(
            "cherry_pick_pattern",
            "regular expression with a group",
            "none",
            "Finds, in a pull request's title, the number of the pull request that it cherry-picks. The number is the first group.",
        ),
        key(
            "hotfix_pattern",
            "regular expression",
            r"`(?i)^(hotfix\|revert)\b`",
            "A pull request whose source branch or title matches is reactive work.",
        ),
        key(
            "change_branches",
            "list of regular expressions",
            "any branch",
            "Only pull requests that are merged to a matching branch are changes; the others are promotions.",
        ),
        key(
            "commits_diffs",
            "`successive`, `all`",
            "`successive`",
            "For which deployments `domain.commits_diffs` has rows. `all` includes first and failed deployments, as DevLake does.",
        ),
        key(
            "components",
            "table of regular expressions",
            "none",
            "Components of a monorepo and the paths that belong to each. Needs `commits = \"git\"` or a `[[table]]` of `domain.commit_files`.",
        ),
    ],
};

pub(super) const ISSUE_STATUS: KeyTable = KeyTable {
    title: "[rules.NAME] issue_status",
    description: "Lists of Bitbucket's issue states. A state in two lists is an error.",
    keys: &[
        key(
            "todo",
            "list of strings",
            "`new`, `open`",
            "The states that mean `TODO`.",
        ),
        key(
            "in_progress",
            "list of strings",
            "none",
            "The states that mean `IN_PROGRESS`.",
        ),
        key(
            "done",
            "list of strings",
            "`resolved`, `closed`",
            "The states that mean `DONE`.",
        ),
        key(
            "other",
            "list of strings",
            "`on hold`, `wontfix`, `duplicate`, `invalid`",
            "The states that mean `OTHER`.",
        ),
    ],
};

pub(super) const ISSUE_TYPE: KeyTable = KeyTable {
    title: "[rules.NAME] issue_type",
    description: "The type of each of Bitbucket's issue kinds: `BUG`, `REQUIREMENT`, `INCIDENT` or `TASK`.",
    keys: &[
        key("bug", "type", "`BUG`", "The type of a bug."),
        key(
            "enhancement",
            "type",
            "`REQUIREMENT`",
            "The type of an enhancement.",
        ),
        key(
            "proposal",
            "type",
            "`REQUIREMENT`",
            "The type of a proposal.",
        ),
        key("task", "type", "`REQUIREMENT`", "The type of a task."),
    ],
};

pub(super) const TAGS: KeyTable = KeyTable {
    title: "[rules.NAME] tags",
    description: "Which tags are releases, and how many pairs of successive releases are compared.",
    keys: &[
        key(
            "pattern",
            "regular expression",
            r"`^v?\d+\.\d+`",
            "Tags whose name matches are releases.",
        ),
        key(
            "limit",
            "integer from 1",
            "`10`",
            "How many pairs of successive tags are compared, from the newest.",
        ),
        key(
            "order",
            "`reverse semver`, `semver`, `natural`, `alphabetically`, `reverse alphabetically`",
            "`reverse semver`",
            "The order of tags. `reverse semver` and `natural` have the newest first; `natural` also compares the numbers inside words.",
        ),
        key(
            "pairs",
            "list of tables",
            "none",
            "Further pairs to compare.",
        ),
    ],
};

pub(super) const TAG_PAIR: KeyTable = KeyTable {
    title: "[rules.NAME] tags.pairs",
    description: "A pair of tags or branches.",
    keys: &[
        key("new", "string", "required", "The newer tag or branch."),
        key("old", "string", "required", "The older tag or branch."),
    ],
};

pub(super) const SYNC: KeyTable = KeyTable {
    title: "[sync]",
    description: "How far back and how often records are collected.",
    keys: &[
        key(
            "since",
            "span, as `\"6 months\"`, or date",
            "`\"6 months\"`",
            "The oldest record that is collected. It is resolved at a repository's first run; an earlier value collects only the gap.",
        ),
        key(
            "full_every",
            "span, or `\"never\"`",
            "`\"3 months\"`",
            "How often old records are read again to find deletions and late edits. With `\"never\"` only `--full` does so.",
        ),
        key(
            "skip_failed",
            "boolean",
            "`true`",
            "Continue after a failed list and exit with 1. `false` ends the run at the first failure.",
        ),
        key(
            "cron",
            "five fields",
            "none",
            "When `bitlake schedule` runs: minute, hour, day of month, month, day of week.",
        ),
        key(
            "timezone",
            "name of the tz database",
            "`UTC`",
            "The time zone of `cron`.",
        ),
    ],
};

pub(super) const SYNC_GIT: KeyTable = KeyTable {
    title: "[sync], for commits",
    description: "Whether commits come from the API or from Git clones.",
    keys: &[
        key(
            "commits",
            "`api`, `git`",
            "`api`",
            "The source of commits. `git` costs no API requests and needs the `git` program, 2.32 or newer.",
        ),
        key(
            "git_cache",
            "path",
            "`.bitlake-cache/git` beside the lake, or beside this file for a lake on S3",
            "The folder of the bare clones. It can be deleted at any time.",
        ),
        key(
            "line_counts",
            "boolean",
            "`true`",
            "Count lines added and deleted, which needs the files' contents.",
        ),
    ],
};

pub(super) const TABLE: KeyTable = KeyTable {
    title: "[[table]]",
    description: "Outside data that replaces a table of the lake, or adds rows to it.",
    keys: &[
        key(
            "name",
            "`layer.table`",
            "required",
            "The table to fill; `bitlake tables` lists them.",
        ),
        key(
            "location",
            "path or `s3://bucket/key`, with globs",
            "required",
            "The files to read.",
        ),
        key(
            "format",
            "`csv`, `ndjson`, `parquet`",
            "required",
            "The format of the files.",
        ),
        key(
            "query",
            "SQL",
            "the columns as they are",
            "A `SELECT` over `external` that yields the table's columns.",
        ),
        key(
            "add",
            "boolean",
            "`false`",
            "Add the rows to those that bitlake computes, instead of replacing them. Only for `domain`, `dora` and `metrics`; any number of such entries may name the same table.",
        ),
    ],
};

pub(super) const ORG: KeyTable = KeyTable {
    title: "[org]",
    description: "People and teams, as CSV files with DevLake's headers.",
    keys: &[
        key(
            "users",
            "path",
            "none",
            "`Id,Name,Email,TeamIds`: one row per person.",
        ),
        key(
            "teams",
            "path",
            "none",
            "`Id,Name,Alias,ParentId,SortingIndex`: one row per team.",
        ),
        key(
            "user_account_mapping",
            "path",
            "none",
            "`Id,…,UserId`: the person of each account.",
        ),
    ],
};

pub(super) const CLUSTER: KeyTable = KeyTable {
    title: "[cluster]",
    description: "The workers that compute the tables, each started with `bitlake worker`. [Several machines](../cluster.md) describes them.",
    keys: &[key(
        "workers",
        "list of `\"HOST:PORT\"`",
        "none",
        "The addresses of the workers. `--workers` overrides it, and so does `BITLAKE__CLUSTER__WORKERS`; both separate addresses by commas.",
    )],
};

pub(super) const REPORT: KeyTable = KeyTable {
    title: "[report]",
    description: "The page of `bitlake report`, written by `run` and `schedule` after each publish.",
    keys: &[key(
        "path",
        "path",
        "none",
        "The HTML file to write. Its folder must exist. Without this key a run writes no page.",
    )],
};

pub(super) const METRICS: KeyTable = KeyTable {
    title: "[metrics]",
    description: "The metrics of the last run, written by `run` and `schedule` after each run, failed ones included.",
    keys: &[key(
        "textfile",
        "path",
        "none",
        "The file to write, in Prometheus' text format. Its folder must exist, and node_exporter reads only names that end in `.prom`. Without this key a run writes no metrics.",
    )],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_listed_once_and_described() {
        let mut seen = std::collections::BTreeSet::new();
        for table in REFERENCE {
            assert!(table.description.ends_with('.'), "{}", table.title);
            for key in table.keys {
                assert!(key.description.ends_with('.'), "{}", key.name);
                assert!(!key.values.is_empty(), "{}", key.name);
                let titles = table.title.split_once(',').map_or(table.title, |(t, _)| t);
                assert!(
                    seen.insert((titles, key.name)),
                    "{} {}",
                    table.title,
                    key.name
                );
            }
        }
    }
}
