//! Every key of `bitlake.toml` with its values, its default and its effect.
//!
//! One list serves three readers, so that they have the same keys: the parser refuses a key that is not here, and the
//! configuration reference and the JSON Schema are generated from the list.
//!
//! ```text
//! keys ─┬─▶ Section::open (unknown key, did you mean …?)
//!       └─▶ REFERENCE ─┬─▶ docs/src/reference/configuration.md
//!                      └─▶ json_schema ─▶ docs/src/reference/bitlake.schema.json, `bitlake init --schema`
//! ```

use super::key_types::KeyDefault::{Note, Required, RequiredFor, Value, Values};
use super::key_types::KeyValues::{
    AnyCase, AnyText, Boolean, Credential, Credentials, Date, Integer, List, Matching,
    NonEmptyList, Table, Tables, TablesByName, Text, TextsByName, Timezone, Words,
};
use super::key_types::{ConfigKey, KeyDefault, KeyTable, KeyValues, TableRule};
use super::rules;

const TEXT: KeyValues = Text("string");
const PATH: KeyValues = Text("path");
const FILE: KeyValues = Matching("path", "[^/]$");
const URL: KeyValues = Matching("URL", "^https?://");
const REGEX: KeyValues = AnyText("regular expression");
const PARTITION: KeyValues = Words(&["month", "day", "year", "repository", "none"]);
const WEEKDAYS: KeyValues = AnyCase(&[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
]);
const WORKER: KeyValues = Matching("HOST:PORT", r"^\s*(http://)?[^/@]+:\d+/?\s*$");
const REPOSITORY: KeyValues = Matching("pattern", r"^[^/*?\[\]{}\\]+/[^/]+$");
const NONE: KeyDefault = Note("none");

/// The names of `[lake.tables]`.
const TABLE_NAME: &str = r"\.";
const OUTSIDE_TABLE: &str = r"^(config|bitbucket|domain|dora|metrics)\.[a-z0-9_]+$";
const SPAN: &str = r"^\s*0*[1-9]\d*\s*(day|week|month|year)s?\s*$";
const SPAN_OR_DATE: &str = r"^\s*(0*[1-9]\d*\s*(day|week|month|year)s?|\d{4}-\d{2}-\d{2})\s*$";
const SPAN_OR_NEVER: &str = r"^(never|\s*0*[1-9]\d*\s*(day|week|month|year)s?\s*)$";
const LEASE: &str = r"^\s*0*[1-9]\d*\s*(second|minute)s?\s*$";
const MEMORY: &str = r"^\s*\d+\s*[GM]iB\s*$";
const FIVE_FIELDS: &str = r"^\s*(\S+\s+){4}\S+\s*$";
const PROXY: &str = "^(https?|socks5h?)://";

/// The upper limit of `requests_per_hour`.
pub(super) const MAX_REQUESTS: i64 = 1_000_000;
/// The upper limit of windows, which keeps SQL's intervals in range.
pub(super) const MAX_WINDOW: i64 = 100_000;

const fn key(
    name: &'static str,
    values: KeyValues,
    default: KeyDefault,
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
pub const REFERENCE: [&KeyTable; 22] = [
    &ROOT,
    &LAKE,
    &LAKE_TABLE,
    &LAKE_STORE,
    &LAKE_S3,
    &LAKE_AZURE,
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
    rule: TableRule::None,
    keys: &[
        key(
            "lake",
            Table(&[&LAKE, &LAKE_STORE, &LAKE_S3, &LAKE_AZURE]),
            Required,
            "The address and the layout of the Parquet files.",
        ),
        key(
            "connection",
            Tables(&CONNECTION),
            NONE,
            "Bitbucket identities. `transform` and `query` need none.",
        ),
        key(
            "repositories",
            Tables(&REPOSITORIES),
            NONE,
            "The repositories to collect.",
        ),
        key(
            "project",
            Tables(&PROJECT),
            NONE,
            "The products or teams that metrics are computed for.",
        ),
        key(
            "rules",
            TablesByName(&RULES, ""),
            Note("the rule set `default`"),
            "The classification of issues, deployments, tags and pull requests.",
        ),
        key(
            "sync",
            Table(&[&SYNC, &SYNC_GIT]),
            Note("the defaults below"),
            "The earliest record, the schedule and the source of a collection.",
        ),
        key(
            "table",
            Tables(&TABLE),
            NONE,
            "Outside data that replaces or extends a table of the lake.",
        ),
        key(
            "org",
            Table(&[&ORG]),
            NONE,
            "CSV files that describe people and teams.",
        ),
        key(
            "cluster",
            Table(&[&CLUSTER]),
            NONE,
            "The workers that compute the tables. Without them, one process computes all tables.",
        ),
        key(
            "report",
            Table(&[&REPORT]),
            NONE,
            "The page that a run writes.",
        ),
        key(
            "metrics",
            Table(&[&METRICS]),
            NONE,
            "The metrics of the last run, for Prometheus.",
        ),
    ],
};

pub(super) const LAKE: KeyTable = KeyTable {
    title: "[lake]",
    description: "The address and the layout of the Parquet files.",
    rule: TableRule::None,
    keys: &[
        key(
            "url",
            Text(
                "path, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `abfss://container@account.dfs.core.windows.net/prefix`",
            ),
            Required,
            "The lake's folder. The path of the URL is the prefix, so one bucket can hold several lakes. `--lake` overrides it.",
        ),
        key(
            "lease",
            Matching("`\"90 seconds\"`, `\"10 minutes\"`", LEASE),
            Value("\"10 minutes\""),
            "In a bucket, the time after which another run may take over a publish that does not renew its lease.",
        ),
        key(
            "memory_limit",
            Matching("`\"4 GiB\"`, `\"1536 MiB\"`", MEMORY),
            Value("\"2 GiB\""),
            "The memory limit of the process; at least 1 GiB. Sorts and aggregates that do not fit are written to `TMPDIR`.",
        ),
        key(
            "keep_history",
            Boolean,
            Value("false"),
            "Keep every version of every record, in the layer `history`.",
        ),
        key(
            "longest_span",
            Matching("span, as `\"20 years\"`", SPAN),
            Value("\"20 years\""),
            "The longest time that periods are generated for if only outside tables determine how long a project has existed. A run reports records that are farther from each other as outliers.",
        ),
        key(
            "keep_runs",
            Integer(u32::MAX as i64),
            Value("1000"),
            "The largest number of run reports that are kept.",
        ),
        key(
            "keep_run_days",
            Integer(u32::MAX as i64),
            Value("400"),
            "The largest number of days for which a run report is kept.",
        ),
        key(
            "compression",
            Words(&["zstd", "snappy", "none"]),
            Value("zstd"),
            "The codec of newly written files.",
        ),
        key(
            "compression_level",
            Integer(22),
            Value("3"),
            "The level of zstd.",
        ),
        key(
            "partition",
            PARTITION,
            Note("the schema's own"),
            "The partitioning of tables of `domain`, `dora` and `metrics` that support it.",
        ),
        key(
            "tables",
            TablesByName(&LAKE_TABLE, TABLE_NAME),
            NONE,
            "The partitioning of single tables; takes precedence over `partition`.",
        ),
    ],
};

pub(super) const LAKE_TABLE: KeyTable = KeyTable {
    title: "[lake.tables.\"LAYER.TABLE\"]",
    description: "The partitioning of one table.",
    rule: TableRule::None,
    keys: &[
        key(
            "partition",
            PARTITION,
            Required,
            "The rows that share a file: those of one month, day, year or repository, or all rows.",
        ),
        key(
            "column",
            TEXT,
            Note("the schema's own"),
            "The timestamp or repository column to partition by. It must never change for a record; otherwise a reader can see the row in two files while it moves.",
        ),
    ],
};

pub(super) const LAKE_STORE: KeyTable = KeyTable {
    title: "[lake], for a bucket",
    description: "Settings of the object store, with the names of the `object_store` crate. Credentials are refused here: set them in the environment.",
    rule: TableRule::None,
    keys: &[
        key(
            "allow_http",
            Boolean,
            Value("false"),
            "Allow plain HTTP to the endpoint.",
        ),
        key(
            "allow_invalid_certificates",
            Boolean,
            Value("false"),
            "Accept any TLS certificate. For tests only.",
        ),
        key(
            "connect_timeout",
            Text("`\"5 seconds\"`"),
            Note("5 seconds"),
            "The time limit for opening a connection.",
        ),
        key(
            "endpoint",
            URL,
            Note("the service's own"),
            "The address of a store other than AWS, Google or Azure, such as MinIO or an emulator.",
        ),
        key(
            "proxy_url",
            Text("URL"),
            NONE,
            "The proxy for requests to the store.",
        ),
        key(
            "skip_signature",
            Boolean,
            Value("false"),
            "Send unsigned requests, for public buckets.",
        ),
        key(
            "timeout",
            Text("`\"30 seconds\"`"),
            Note("30 seconds"),
            "The time limit of one request.",
        ),
    ],
};

pub(super) const LAKE_S3: KeyTable = KeyTable {
    title: "[lake], for S3",
    description: "Further settings of S3 and compatible stores.",
    rule: TableRule::None,
    keys: &[
        key(
            "checksum_algorithm",
            Words(&["sha256"]),
            NONE,
            "The checksum that is sent with every put.",
        ),
        key(
            "region",
            TEXT,
            Note("the profile's, else `us-east-1`"),
            "The bucket's region.",
        ),
        key(
            "request_payer",
            Boolean,
            Value("false"),
            "Pay for requests to a requester-pays bucket.",
        ),
        key(
            "s3_express",
            Boolean,
            Value("false"),
            "The bucket is a directory bucket of S3 Express One Zone.",
        ),
        key(
            "sse_kms_key_id",
            TEXT,
            NONE,
            "The KMS key that encrypts the objects.",
        ),
        key(
            "unsigned_payload",
            Boolean,
            Value("false"),
            "Leave the payload out of the signature.",
        ),
        key(
            "virtual_hosted_style_request",
            Boolean,
            Value("false"),
            "Put the bucket's name in the host instead of the path.",
        ),
    ],
};

pub(super) const LAKE_AZURE: KeyTable = KeyTable {
    title: "[lake], for Azure",
    description: "Further settings of Azure Blob Storage.",
    rule: TableRule::None,
    keys: &[key(
        "account_name",
        TEXT,
        Note("that of the URL or of the environment"),
        "The storage account, for `az://container/prefix`.",
    )],
};

pub(super) const CONNECTION: KeyTable = KeyTable {
    title: "[[connection]]",
    description: "One Bitbucket identity. The keys after `auth` belong to one kind of credential; a key of another kind is an error.",
    rule: TableRule::KeysOfAuth,
    keys: &[
        key(
            "id",
            Integer(i32::MAX as i64),
            Required,
            "Part of every id in the domain tables. Never change it.",
        ),
        key(
            "name",
            TEXT,
            Required,
            "The name by which `[[repositories]]` refers to the connection.",
        ),
        key(
            "endpoint",
            URL,
            Value("https://api.bitbucket.org/2.0/"),
            "The API's address; for tests and reverse proxies. It must be HTTPS, except on loopback.",
        ),
        key(
            "git_endpoint",
            URL,
            Value("https://bitbucket.org/"),
            "The address from which repositories are cloned. The default follows `endpoint`.",
        ),
        key(
            "proxy",
            Matching(
                "`http://`, `https://`, `socks5://` or `socks5h://` and `host:port`",
                PROXY,
            ),
            Note("`HTTPS_PROXY`, `NO_PROXY`"),
            "The proxy for this connection, without a password.",
        ),
        key(
            "requests_per_hour",
            Integer(MAX_REQUESTS),
            Note("what the server allows"),
            "An upper limit of requests, which leaves the rest of the quota to other users of the same credentials.",
        ),
        key(
            "auth",
            Words(&[
                "api-token",
                "access-token",
                "oauth-client",
                "app-password",
                "none",
            ]),
            Required,
            "The kind of credential.",
        ),
        key(
            "email",
            TEXT,
            RequiredFor(&["api-token"]),
            "The Atlassian account's e-mail address.",
        ),
        key(
            "token",
            Credentials,
            RequiredFor(&["api-token", "access-token"]),
            "The token. A list spreads the requests over several identities.",
        ),
        key(
            "expires",
            Date,
            Note("unknown"),
            "The last day of the token. From thirty days before, every run names the token.",
        ),
        key(
            "key",
            Credential,
            RequiredFor(&["oauth-client"]),
            "The OAuth consumer's key.",
        ),
        key(
            "secret",
            Credential,
            RequiredFor(&["oauth-client"]),
            "The OAuth consumer's secret.",
        ),
        key(
            "token_url",
            URL,
            Value("https://bitbucket.org/site/oauth2/access_token"),
            "The address that grants OAuth tokens.",
        ),
        key(
            "username",
            TEXT,
            RequiredFor(&["app-password"]),
            "The Bitbucket user name.",
        ),
        key(
            "password",
            Credential,
            RequiredFor(&["app-password"]),
            "The app password. `token` is accepted instead.",
        ),
    ],
};

pub(super) const CREDENTIAL: KeyTable = KeyTable {
    title: "A credential",
    description: "The value of `token`, `key`, `secret` and `password`: the place of the secret, never the secret itself. Exactly one of `env` and `file` is required.",
    rule: TableRule::ExactlyOne(&["env", "file"]),
    keys: &[
        key("env", TEXT, Note(""), "The environment variable to read."),
        key(
            "file",
            PATH,
            Note(""),
            "The file to read. Blanks, line ends and a byte order mark around the content are ignored.",
        ),
        key(
            "expires",
            Date,
            Note("the connection's `expires`"),
            "The last day of this credential.",
        ),
    ],
};

pub(super) const REPOSITORIES: KeyTable = KeyTable {
    title: "[[repositories]]",
    description: "Repositories to collect, and the rule set that applies to them.",
    rule: TableRule::None,
    keys: &[
        key(
            "connection",
            TEXT,
            Required,
            "The name of the `[[connection]]` to use.",
        ),
        key(
            "include",
            List("patterns", &REPOSITORY),
            Required,
            "`workspace/slug`, with globs in the slug. A public repository of another workspace needs its full name. A pattern that matches nothing is an error.",
        ),
        key(
            "exclude",
            List("patterns", &REPOSITORY),
            NONE,
            "Repositories to leave out.",
        ),
        key(
            "rules",
            TEXT,
            Value("default"),
            "The rule set. A repository under two rule sets is an error.",
        ),
    ],
};

pub(super) const PROJECT: KeyTable = KeyTable {
    title: "[[project]]",
    description: "A product or team that metrics are computed for. At least one of `repositories` and `bitbucket_projects` is required.",
    rule: TableRule::AtLeastOne(&["repositories", "bitbucket_projects"]),
    keys: &[
        key("name", TEXT, Required, "The project's name."),
        key(
            "repositories",
            List("patterns", &REPOSITORY),
            NONE,
            "The repositories of the project, as `workspace/slug` with globs in the slug. Each must be selected by a `[[repositories]]`.",
        ),
        key(
            "bitbucket_projects",
            List("strings", &TEXT),
            NONE,
            "Keys of Bitbucket projects, as `CHK`; all their repositories belong to the project.",
        ),
        key(
            "timezone",
            Timezone,
            Value("UTC"),
            "The time zone of the project's days, weeks and months.",
        ),
        key(
            "week_start",
            WEEKDAYS,
            Value("monday"),
            "The first day of the week.",
        ),
        key(
            "incident_window_hours",
            Integer(MAX_WINDOW),
            Value("72"),
            "The longest time from a deployment to an incident that is linked to it without naming it, in hours.",
        ),
        key(
            "baseline_days",
            Integer(MAX_WINDOW),
            Value("30"),
            "The greatest age of a change that counts as delivered by an environment's first known deployment, in days.",
        ),
        key(
            "rework_days",
            Integer(MAX_WINDOW),
            Value("14"),
            "The longest time from a change's production deployment to a revert that counts as rework, in days.",
        ),
    ],
};

pub(super) const RULES: KeyTable = KeyTable {
    title: "[rules.NAME]",
    description: "One rule set. `default` always exists; a set in the file changes only the keys that it names. An empty pattern (`\"\"`) disables a pattern.",
    rule: TableRule::None,
    keys: &[
        key(
            "entities",
            List(
                "",
                &Words(&["issues", "code", "review", "cicd", "accounts"]),
            ),
            Note("all of them"),
            "The groups of lists that are collected. A group that is left out costs no request.",
        ),
        key(
            "issue_status",
            Table(&[&ISSUE_STATUS]),
            Note("see below"),
            "Maps Bitbucket's issue states to `TODO`, `IN_PROGRESS`, `DONE` and `OTHER`.",
        ),
        key(
            "issue_type",
            Table(&[&ISSUE_TYPE]),
            Note("see below"),
            "Maps Bitbucket's issue kinds to `BUG`, `REQUIREMENT`, `INCIDENT` and `TASK`.",
        ),
        key(
            "deployments",
            Words(&["bitbucket", "steps", "both"]),
            Value("bitbucket"),
            "The source of deployments: Bitbucket's own deployments, pipeline steps selected by `deployment_pattern`, or both without counting a release twice.",
        ),
        key(
            "steps",
            Words(&["deployments", "all", "none"]),
            Value("deployments"),
            "The pipelines whose steps are collected, at one request per pipeline. `deployments` collects only the steps that a deployment's result depends on.",
        ),
        key(
            "deployment_pattern",
            REGEX,
            NONE,
            "A step, branch or tag whose name matches is a deployment. Required for `deployments = \"steps\"` and `\"both\"`.",
        ),
        key(
            "production_pattern",
            REGEX,
            NONE,
            "A deployment found by `deployment_pattern` is a production deployment if its name matches. Without this pattern, all such deployments are.",
        ),
        key(
            "tags",
            Table(&[&TAGS]),
            Note("see below"),
            "The tags that are releases, and the pairs of tags that are compared.",
        ),
        key(
            "issue_key_pattern",
            REGEX,
            Value(r"([A-Z][A-Z0-9]+-\d+|#\d+)"),
            "Finds issue keys in texts. The first group, if there is one, is the key.",
        ),
        key(
            "cherry_pick_pattern",
            AnyText("regular expression with a group"),
            NONE,
            "Finds, in a pull request's title, the number of the pull request that it cherry-picks. The number is the first group.",
        ),
        key(
            "hotfix_pattern",
            REGEX,
            Value(r"(?i)^(hotfix|revert)\b"),
            "A pull request whose source branch or title matches is reactive work.",
        ),
        key(
            "change_branches",
            NonEmptyList("regular expressions", &TEXT),
            Note("any branch"),
            "Only pull requests that are merged to a matching branch are changes; the others are promotions.",
        ),
        key(
            "commits_diffs",
            Words(&["successive", "all"]),
            Value("successive"),
            "The deployments for which `domain.commits_diffs` has rows. `all` includes first and failed deployments, as DevLake does.",
        ),
        key(
            "components",
            TextsByName("regular expressions"),
            NONE,
            "Components of a monorepo and the paths that belong to each. Needs `commits = \"git\"` or a `[[table]]` of `domain.commit_files`.",
        ),
    ],
};

pub(super) const ISSUE_STATUS: KeyTable = KeyTable {
    title: "[rules.NAME] issue_status",
    description: "Lists of Bitbucket's issue states. A state in two lists is an error.",
    rule: TableRule::None,
    keys: &[
        key(
            "todo",
            List("", &AnyCase(&rules::STATES)),
            Values(&["new", "open"]),
            "The states that mean `TODO`.",
        ),
        key(
            "in_progress",
            List("", &AnyCase(&rules::STATES)),
            NONE,
            "The states that mean `IN_PROGRESS`.",
        ),
        key(
            "done",
            List("", &AnyCase(&rules::STATES)),
            Values(&["resolved", "closed"]),
            "The states that mean `DONE`.",
        ),
        key(
            "other",
            List("", &AnyCase(&rules::STATES)),
            Values(&["on hold", "wontfix", "duplicate", "invalid"]),
            "The states that mean `OTHER`.",
        ),
    ],
};

pub(super) const ISSUE_TYPE: KeyTable = KeyTable {
    title: "[rules.NAME] issue_type",
    description: "The type of each of Bitbucket's issue kinds: `BUG`, `REQUIREMENT`, `INCIDENT` or `TASK`.",
    rule: TableRule::None,
    keys: &[
        key(
            "bug",
            Words(&rules::TYPES),
            Value("BUG"),
            "The type of a bug.",
        ),
        key(
            "enhancement",
            Words(&rules::TYPES),
            Value("REQUIREMENT"),
            "The type of an enhancement.",
        ),
        key(
            "proposal",
            Words(&rules::TYPES),
            Value("REQUIREMENT"),
            "The type of a proposal.",
        ),
        key(
            "task",
            Words(&rules::TYPES),
            Value("REQUIREMENT"),
            "The type of a task.",
        ),
    ],
};

pub(super) const TAGS: KeyTable = KeyTable {
    title: "[rules.NAME] tags",
    description: "The tags that are releases, and the number of pairs of successive releases that are compared.",
    rule: TableRule::None,
    keys: &[
        key(
            "pattern",
            REGEX,
            Value(r"^v?\d+\.\d+"),
            "Tags whose name matches are releases.",
        ),
        key(
            "limit",
            Integer(i32::MAX as i64),
            Value("10"),
            "The number of pairs of successive tags that are compared, from the newest.",
        ),
        key(
            "order",
            Words(&rules::TAG_ORDERS),
            Value("reverse semver"),
            "The order of tags. `reverse semver` and `natural` put the newest tag first; `natural` also compares the numbers inside words.",
        ),
        key(
            "pairs",
            Tables(&TAG_PAIR),
            NONE,
            "Further pairs to compare.",
        ),
    ],
};

pub(super) const TAG_PAIR: KeyTable = KeyTable {
    title: "[rules.NAME] tags.pairs",
    description: "A pair of tags or branches.",
    rule: TableRule::None,
    keys: &[
        key("new", TEXT, Required, "The newer tag or branch."),
        key("old", TEXT, Required, "The older tag or branch."),
    ],
};

pub(super) const SYNC: KeyTable = KeyTable {
    title: "[sync]",
    description: "The earliest record and the schedule of a collection.",
    rule: TableRule::None,
    keys: &[
        key(
            "since",
            Matching("span, as `\"6 months\"`, or date", SPAN_OR_DATE),
            Value("\"6 months\""),
            "The oldest record that is collected. It is resolved at a repository's first run; an earlier value collects only the gap.",
        ),
        key(
            "full_every",
            Matching("span, or `\"never\"`", SPAN_OR_NEVER),
            Value("\"3 months\""),
            "The interval at which old records are read again to find deletions and late edits. With `\"never\"`, only `--full` reads them again.",
        ),
        key(
            "skip_failed",
            Boolean,
            Value("true"),
            "Continue after a failed list and exit with 1. `false` ends the run at the first failure.",
        ),
        key(
            "cron",
            Matching("five fields", FIVE_FIELDS),
            NONE,
            "The times at which `bitlake schedule` starts a run: minute, hour, day of month, month, day of week.",
        ),
        key(
            "timezone",
            Timezone,
            Value("UTC"),
            "The time zone of `cron`.",
        ),
    ],
};

pub(super) const SYNC_GIT: KeyTable = KeyTable {
    title: "[sync], for commits",
    description: "The source of commits: the API or Git clones.",
    rule: TableRule::None,
    keys: &[
        key(
            "commits",
            Words(&["api", "git"]),
            Value("api"),
            "The source of commits. `git` costs no API requests and needs the `git` program, 2.32 or newer.",
        ),
        key(
            "git_cache",
            PATH,
            Note(
                "`.bitlake-cache/git` beside the lake, or beside this file for a lake in a bucket",
            ),
            "The folder of the bare clones. It can be deleted at any time.",
        ),
        key(
            "line_counts",
            Boolean,
            Value("true"),
            "Count lines added and deleted, which needs the files' contents.",
        ),
    ],
};

pub(super) const TABLE: KeyTable = KeyTable {
    title: "[[table]]",
    description: "Outside data that replaces a table of the lake, or adds rows to it.",
    rule: TableRule::None,
    keys: &[
        key(
            "name",
            Matching("`layer.table`", OUTSIDE_TABLE),
            Required,
            "The table to fill; `bitlake tables` lists them.",
        ),
        key(
            "location",
            Text("path or URL as of `lake.url`, with globs"),
            Required,
            "The files to read. The store settings of `[lake]` apply when the lake is in the same kind of store.",
        ),
        key(
            "format",
            Words(&["csv", "ndjson", "parquet"]),
            Required,
            "The format of the files.",
        ),
        key(
            "query",
            Text("SQL"),
            Note("the columns as they are"),
            "A `SELECT` over `external` that returns the table's columns.",
        ),
        key(
            "add",
            Boolean,
            Value("false"),
            "Add the rows to those that bitlake computes, instead of replacing them. Only for `domain`, `dora` and `metrics`; any number of such entries may name the same table.",
        ),
    ],
};

pub(super) const ORG: KeyTable = KeyTable {
    title: "[org]",
    description: "People and teams, as CSV files with DevLake's headers.",
    rule: TableRule::None,
    keys: &[
        key(
            "users",
            PATH,
            NONE,
            "`Id,Name,Email,TeamIds`: one row per person.",
        ),
        key(
            "teams",
            PATH,
            NONE,
            "`Id,Name,Alias,ParentId,SortingIndex`: one row per team.",
        ),
        key(
            "user_account_mapping",
            PATH,
            NONE,
            "`Id,…,UserId`: the person of each account.",
        ),
    ],
};

pub(super) const CLUSTER: KeyTable = KeyTable {
    title: "[cluster]",
    description: "The workers that compute the tables, each started with `bitlake worker`. [Several machines](../cluster.md) describes them.",
    rule: TableRule::None,
    keys: &[key(
        "workers",
        List("`HOST:PORT`", &WORKER),
        NONE,
        "The addresses of the workers. `--workers` and `BITLAKE__CLUSTER__WORKERS` override them; both separate addresses by commas.",
    )],
};

pub(super) const REPORT: KeyTable = KeyTable {
    title: "[report]",
    description: "The page of `bitlake report`, written by `run` and `schedule` after each publish.",
    rule: TableRule::None,
    keys: &[key(
        "path",
        FILE,
        Required,
        "The HTML file to write. Its folder must exist. Without this table a run writes no page.",
    )],
};

pub(super) const METRICS: KeyTable = KeyTable {
    title: "[metrics]",
    description: "The metrics of the last run, written by `run` and `schedule` after each run, failed ones included.",
    rule: TableRule::None,
    keys: &[key(
        "textfile",
        FILE,
        Required,
        "The file to write, in Prometheus' text format. Its folder must exist, and node_exporter reads only names that end in `.prom`. Without this table a run writes no metrics.",
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
                assert!(!key.values.markdown().is_empty(), "{}", key.name);
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
