//! Tests of invalid files. `BASE` has nine lines, so that the lines of a test begin at line 10.

use super::{BASE, message, parse};

fn base_and(text: &str) -> String {
    message(parse(&format!("{BASE}{text}")))
}

fn connection(keys: &str) -> String {
    let text = format!("lake.url = \"out\"\n[[connection]]\nid = 1\nname = \"acme\"\n{keys}\n");
    message(parse(&text))
}

#[test]
fn text_that_is_not_toml() {
    let shown = message(parse("[lake]\nurl = \n"));
    assert!(
        shown.starts_with("the file is not valid TOML: ")
            && shown.ends_with(" (file=bitlake.toml, line=2)"),
        "{shown}"
    );
    let shown = message(parse("[lake]\nurl = \"a\"\nurl = \"b\"\n"));
    assert_eq!(
        shown,
        "the file is not valid TOML: duplicate key (file=bitlake.toml, line=3)"
    );
}

#[test]
fn unknown_keys_get_a_suggestion() {
    assert_eq!(
        base_and("[rules.default]\nenities = []\n"),
        "unknown key `enities` in [rules.default] (file=bitlake.toml, line=11): \
         did you mean `entities`?"
    );
    assert_eq!(
        base_and("[rules.default]\ntags.ordre = \"semver\"\n"),
        "unknown key `ordre` in [rules.default] tags (file=bitlake.toml, line=11): \
         did you mean `order`?"
    );
    assert_eq!(
        base_and("[sync]\nfoo = 1\n"),
        "unknown key `foo` in [sync] (file=bitlake.toml, line=11): \
         known keys: since, full_every, skip_failed, cron, timezone, commits, git_cache, line_counts"
    );
    assert_eq!(
        base_and("[[projects]]\nname = \"p\"\n"),
        "unknown key `projects` (file=bitlake.toml, line=10): did you mean `project`?"
    );
    assert_eq!(
        base_and("[[repositories]]\nconection = \"acme\"\n"),
        "unknown key `conection` in [[repositories]] (file=bitlake.toml, line=11): \
         did you mean `connection`?"
    );
}

#[test]
fn wrong_types() {
    assert_eq!(
        base_and("[sync]\nskip_failed = \"yes\"\n"),
        "`skip_failed` in [sync] must be true or false, not a string (file=bitlake.toml, line=11)"
    );
    assert_eq!(
        base_and("[rules.default]\nentities = \"code\"\n"),
        "`entities` in [rules.default] must be a list of strings, not a string \
         (file=bitlake.toml, line=11)"
    );
    assert_eq!(
        base_and("[rules.default]\nentities = [\n  \"code\",\n  3]\n"),
        "`entities` in [rules.default] must be a list of strings, not an integer \
         (file=bitlake.toml, line=13)"
    );
    assert_eq!(
        message(parse("lake = \"out\"\n")),
        "[lake] must be a table, not a string (file=bitlake.toml, line=1)"
    );
    assert_eq!(
        message(parse("[lake]\nurl = 3.5\n")),
        "`url` in [lake] must be a string, not a decimal number (file=bitlake.toml, line=2)"
    );
    assert_eq!(
        message(parse("[lake]\nurl = \"out\"\n[connection]\nid = 1\n")),
        "`connection` must be a list of tables, not a table (file=bitlake.toml, line=3): \
         write [[connection]] above each table"
    );
    assert_eq!(
        message(parse("[[connection]]\nid = 99999999999999999999\n")),
        "the number is out of range (file=bitlake.toml, line=2)"
    );
}

#[test]
fn a_longest_span_is_a_length_of_time() {
    let mistake = |text: &str| {
        message(parse(&format!(
            "[lake]\nurl = \"x\"\nlongest_span = \"{text}\"\n"
        )))
    };
    for text in ["2020-01-01", "0 years", "for ever"] {
        assert_eq!(
            mistake(text),
            format!(
                "`longest_span` in [lake] cannot be `{text}` (file=bitlake.toml, line=3): \
                 write a value such as \"20 years\" or \"18 months\""
            )
        );
    }
}

#[test]
fn the_lake() {
    let hint = "add `[lake]` with `url = \"lake\"`, or pass --lake";
    assert_eq!(
        message(parse("")),
        format!("`lake` is missing (file=bitlake.toml, line=1): {hint}")
    );
    assert_eq!(
        message(parse("\n[lake]\n")),
        format!("`url` is missing in [lake] (file=bitlake.toml, line=2): {hint}")
    );
    assert_eq!(
        message(parse("[lake]\nurl = \" \"\n")),
        "`url` in [lake] is empty (file=bitlake.toml, line=2)"
    );
    assert_eq!(
        message(parse("[lake]\nurl = \"ftp://host/x\"\n")),
        "`url` in [lake] has the unknown scheme `ftp` (file=bitlake.toml, line=2): \
         use a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    );
    assert_eq!(
        message(parse(
            "[lake]\nurl = \"s3://b\"\nsecret_access_key = \"x\"\n"
        )),
        "`secret_access_key` in [lake] is a credential, which the file must not contain (file=bitlake.toml, line=3): \
         set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role of the machine"
    );
    let limit = |text: &str| {
        message(parse(&format!(
            "[lake]\nurl = \"x\"\nmemory_limit = \"{text}\"\n"
        )))
    };
    assert_eq!(
        limit("512 MiB"),
        "`memory_limit` in [lake] must be at least 1 GiB (file=bitlake.toml, line=3)"
    );
    assert_eq!(
        limit("lots"),
        "`memory_limit` in [lake] cannot be `lots` (file=bitlake.toml, line=3): \
         write a value such as \"4 GiB\" or \"1536 MiB\""
    );
}

#[test]
fn the_lease_of_a_publish() {
    let lease = |text: &str| {
        message(parse(&format!(
            "[lake]\nurl = \"s3://b\"\nlease = \"{text}\"\n"
        )))
    };
    assert_eq!(
        lease("0 seconds"),
        "`lease` in [lake] must be at least 1 second (file=bitlake.toml, line=3)"
    );
    for text in ["10", "1 hour", "minutes", "99999999 minutes"] {
        assert_eq!(
            lease(text),
            format!(
                "`lease` in [lake] cannot be `{text}` (file=bitlake.toml, line=3): \
                 write a value such as \"10 minutes\" or \"90 seconds\""
            )
        );
    }
}

#[test]
fn the_layout_of_the_lake() {
    let lake = |text: &str| message(parse(&format!("[lake]\nurl = \"x\"\n{text}\n")));
    assert_eq!(
        lake("partition = \"daily\""),
        "`partition` in [lake] cannot be `daily` (file=bitlake.toml, line=3): \
         use one of: month, day, year, repository, none"
    );
    assert_eq!(
        lake("compression = \"snapy\""),
        "`compression` in [lake] cannot be `snapy` (file=bitlake.toml, line=3): did you mean `snappy`?"
    );
    assert_eq!(
        lake("compression = \"snappy\"\ncompression_level = 3"),
        "`compression_level` in [lake] applies to zstd only (file=bitlake.toml, line=4)"
    );
    assert_eq!(
        lake("compression_level = 23"),
        "`compression_level` in [lake] must be from 1 to 22, not 23 (file=bitlake.toml, line=3)"
    );
    assert_eq!(
        lake("[lake.tables]\ndomain.commits = { partition = \"day\" }"),
        "`domain` in [lake.tables] does not name a table (file=bitlake.toml, line=4): \
         write layer.table in quotes, such as `\"domain.commits\" = { partition = \"year\" }`"
    );
    assert_eq!(
        lake("[lake.tables]\n\"domain.commits\" = { by = \"day\" }"),
        "unknown key `by` in [lake.tables.\"domain.commits\"] (file=bitlake.toml, line=4): \
         known keys: partition, column"
    );
    assert_eq!(
        lake("[lake.tables]\n\"domain.commits\" = { column = \"x\" }"),
        "`partition` is missing in [lake.tables.\"domain.commits\"] (file=bitlake.toml, line=4): \
         use one of: month, day, year, repository, none"
    );
}

#[test]
fn connections_that_clash() {
    let second = |id: u8, name: &str| {
        base_and(&format!(
            "[[connection]]\nid = {id}\nname = \"{name}\"\nauth = \"none\"\n"
        ))
    };
    assert_eq!(
        second(1, "b"),
        "two connections have the id `1` (file=bitlake.toml, line=11): \
         change one of them; the other is at bitlake.toml:2"
    );
    assert_eq!(
        second(2, "acme"),
        "two connections have the name `acme` (file=bitlake.toml, line=12): \
         change one of them; the other is at bitlake.toml:2"
    );
}

#[test]
fn connections_without_a_number_or_with_a_wrong_one() {
    assert_eq!(
        base_and("[[connection]]\nname = \"b\"\n"),
        "`id` is missing in [[connection]] (file=bitlake.toml, line=10): \
         add `id = 1`; it becomes part of every id of the domain layer, so never change it"
    );
    assert_eq!(
        base_and("[[connection]]\nid = 0\n"),
        "`id` in [[connection]] must be from 1 to 2147483647, not 0 (file=bitlake.toml, line=11)"
    );
    assert_eq!(
        connection("auth = \"none\"\nrequests_per_hour = 0"),
        "`requests_per_hour` in [[connection]] must be from 1 to 1000000, not 0 \
         (file=bitlake.toml, line=6)"
    );
}

#[test]
fn endpoints() {
    let endpoint = |url: &str| connection(&format!("auth = \"none\"\nendpoint = \"{url}\""));
    assert_eq!(
        endpoint("http://bitbucket.acme.example/2.0"),
        "`endpoint` in [[connection]] must be HTTPS (file=bitlake.toml, line=6): \
         plain HTTP is allowed for loopback addresses only"
    );
    assert_eq!(
        endpoint("api.bitbucket.org"),
        "`endpoint` in [[connection]] is not an HTTP(S) URL (file=bitlake.toml, line=6): \
         use a URL such as https://api.bitbucket.org/2.0/"
    );
    assert_eq!(
        endpoint("https://me:s3cr3t@host/"),
        "`endpoint` in [[connection]] must not contain credentials (file=bitlake.toml, line=6): \
         set the credentials with `auth`"
    );
    assert_eq!(
        endpoint("https://host/?a=1"),
        "`endpoint` in [[connection]] must not have a query or a fragment \
         (file=bitlake.toml, line=6)"
    );
    for local in [
        "http://localhost:1/",
        "http://127.0.0.1:1",
        "http://[::1]:1",
    ] {
        let text = BASE.replace(
            "auth = \"none\"",
            &format!("auth = \"none\"\nendpoint = \"{local}\""),
        );
        assert!(parse(&text).is_ok(), "{local}");
    }
}

#[test]
fn proxies() {
    let proxy = |url: &str| connection(&format!("auth = \"none\"\nproxy = \"{url}\""));
    assert_eq!(
        proxy("ftp://proxy"),
        "`proxy` in [[connection]] is not a proxy URL (file=bitlake.toml, line=6): \
         write http://host:port or socks5://host:port"
    );
    assert_eq!(
        proxy("http://me:s3cr3t@proxy:1"),
        "`proxy` in [[connection]] must not contain a password (file=bitlake.toml, line=6): \
         set HTTPS_PROXY in the environment instead"
    );
}

#[test]
fn each_kind_of_auth_needs_its_own_keys() {
    let write = "(file=bitlake.toml, line=2): add `token = { env = \"BITBUCKET_TOKEN\" }` or \
                 `token = { file = \"…\" }`";
    assert_eq!(
        connection(""),
        "`auth` is missing in [[connection]] (file=bitlake.toml, line=2): use one of: \
         api-token, access-token, oauth-client, app-password, none"
    );
    assert_eq!(
        connection("auth = \"api-tokn\""),
        "`auth` in [[connection]] cannot be `api-tokn` (file=bitlake.toml, line=5): \
         did you mean `api-token`?"
    );
    assert_eq!(
        connection("auth = \"api-token\"\ntoken = { env = \"T\" }"),
        "`email` is missing in [[connection]] (file=bitlake.toml, line=2): \
         add the Atlassian account's e-mail address"
    );
    assert_eq!(
        connection("auth = \"api-token\"\nemail = \"a@b.example\""),
        format!("`token` is missing in [[connection]] {write}")
    );
    assert_eq!(
        connection("auth = \"access-token\""),
        format!("`token` is missing in [[connection]] {write}")
    );
    let written = write.replace("token", "secret").replace("TOKEN", "SECRET");
    assert_eq!(
        connection("auth = \"oauth-client\"\nkey = { env = \"K\" }"),
        format!("`secret` is missing in [[connection]] {written}")
    );
    assert_eq!(
        connection("auth = \"app-password\"\npassword = { env = \"P\" }"),
        "`username` is missing in [[connection]] (file=bitlake.toml, line=2): \
         add the Bitbucket user name"
    );
    assert_eq!(
        connection("auth = \"access-token\"\ntoken = { env = \"T\" }\nemail = \"a@b.example\""),
        "`email` in [[connection]] does not apply to auth = \"access-token\" \
         (file=bitlake.toml, line=7)"
    );
}

#[test]
fn a_literal_secret_is_refused_and_not_repeated() {
    let shown = connection("auth = \"access-token\"\ntoken = \"s3cr3t\"");
    assert_eq!(
        shown,
        "`token` in [[connection]] must not contain the secret itself \
         (file=bitlake.toml, line=6): write `token = { env = \"BITBUCKET_TOKEN\" }` or \
         `token = { file = \"…\" }`"
    );
    let listed = connection("auth = \"access-token\"\ntoken = [{ env = \"T\" }, \"s3cr3t\"]");
    assert_eq!(listed, shown);
}

#[test]
fn a_secret_comes_from_one_place() {
    let both = connection("auth = \"access-token\"\ntoken = { env = \"T\", file = \"t\" }");
    assert!(
        both.starts_with("`token` in [[connection]] needs exactly one of `env` and `file` (file="),
        "{both}"
    );
    assert_eq!(
        connection("auth = \"access-token\"\ntoken = { evn = \"T\" }"),
        "unknown key `evn` in [[connection]] token (file=bitlake.toml, line=6): \
         did you mean `env`?"
    );
    let empty = connection("auth = \"access-token\"\ntoken = []");
    assert!(
        empty.starts_with(
            "`token` in [[connection]] must be a table with `env` or `file`, not a list"
        ),
        "{empty}"
    );
}

#[test]
fn repositories() {
    let repositories = |keys: &str| base_and(&format!("[[repositories]]\n{keys}\n"));
    assert_eq!(
        repositories("connection = \"amce\"\ninclude = [\"acme/*\"]"),
        "there is no [[connection]] named `amce` (file=bitlake.toml, line=11): \
         did you mean `acme`?"
    );
    assert_eq!(
        repositories("connection = \"acme\"\ninclude = [\"acme/*\"]\nrules = \"strict\""),
        "there is no rule set named `strict` (file=bitlake.toml, line=13): use one of: default"
    );
    assert_eq!(
        repositories("connection = \"acme\""),
        "`include` is missing in [[repositories]] (file=bitlake.toml, line=10): \
         add `include = [\"workspace/*\"]`"
    );
    let include = |pattern: &str| {
        repositories(&format!(
            "connection = \"acme\"\ninclude = [\n\"acme/*\",\n\"{pattern}\"]"
        ))
    };
    assert_eq!(
        include("web"),
        "`web` is not a pattern of repositories (file=bitlake.toml, line=14): \
         write workspace/slug, such as \"acme/web\" or \"acme/*\""
    );
    assert_eq!(
        include("*/web"),
        "`*/web` has a glob in the workspace (file=bitlake.toml, line=14): \
         name the workspace, because Bitbucket lists repositories by workspace"
    );
    let bad = include("acme/[web");
    assert!(
        bad.starts_with("`acme/[web` is not a valid glob (file=bitlake.toml, line=14): "),
        "{bad}"
    );
}

#[test]
fn projects() {
    let project = |keys: &str| base_and(&format!("[[project]]\nname = \"p\"\n{keys}\n"));
    assert_eq!(
        project(""),
        "the project `p` has no repositories (file=bitlake.toml, line=10): add \
         `repositories = [\"workspace/slug-*\"]` or `bitbucket_projects = [\"KEY\"]`"
    );
    assert_eq!(
        project("repositories = [\"acme/*\"]\ntimezone = \"Europe/Berln\""),
        "`timezone` in [[project]] cannot be `Europe/Berln` (file=bitlake.toml, line=13): \
         did you mean `Europe/Berlin`?"
    );
    assert_eq!(
        project("repositories = [\"acme/*\"]\ntimezone = \"here and there\""),
        "`timezone` in [[project]] cannot be `here and there` (file=bitlake.toml, line=13): \
         use a name of the tz database, such as \"Europe/Berlin\""
    );
    assert_eq!(
        project("repositories = [\"acme/*\"]\nweek_start = \"mondya\""),
        "`week_start` in [[project]] cannot be `mondya` (file=bitlake.toml, line=13): \
         did you mean `monday`?"
    );
    assert_eq!(
        project(
            "repositories = [\"acme/*\"]\n[[project]]\nname = \"p\"\nrepositories = [\"acme/*\"]"
        ),
        "two projects are named `p` (file=bitlake.toml, line=14): \
         rename one of them; the other is at bitlake.toml:10"
    );
}

#[test]
fn rules() {
    let rules = |keys: &str| base_and(&format!("[rules.default]\n{keys}\n"));
    assert_eq!(
        rules("entities = [\"code\", \"reviews\"]"),
        "unknown entity group `reviews` (file=bitlake.toml, line=11): did you mean `review`?"
    );
    assert_eq!(
        rules("deployments = \"pipelines\""),
        "`deployments` in [rules.default] cannot be `pipelines` (file=bitlake.toml, line=11): \
         use one of: bitbucket, steps, both"
    );
    assert_eq!(
        rules("deployments = \"steps\"\ndeployment_pattern = \"\""),
        "`deployments` in [rules.default] = \"steps\" needs a deployment_pattern \
         (file=bitlake.toml, line=11): add `deployment_pattern = \"^deploy\"`, or the pattern of \
         your step names"
    );
    assert_eq!(
        rules("production_pattern = \"prod(\""),
        "`production_pattern` in [rules.default] is not a valid regular expression, `prod(`: \
         unclosed group (file=bitlake.toml, line=11)"
    );
    assert_eq!(
        rules("tags = { pattern = \"[\" }"),
        "`pattern` in [rules.default] tags is not a valid regular expression, `[`: \
         unclosed character class (file=bitlake.toml, line=11)"
    );
    assert_eq!(
        rules("tags = { order = \"semantic\" }"),
        "`order` in [rules.default] tags cannot be `semantic` (file=bitlake.toml, line=11): \
         use one of: semver, reverse semver, alphabetically, reverse alphabetically, natural"
    );
    assert_eq!(
        rules("tags.pairs = [{ new = \"v2\" }]"),
        "`old` is missing in [[pairs]] (file=bitlake.toml, line=11): \
         add the name of a tag or branch, such as `{ new = \"v2.0.0\", old = \"v1.0.0\" }`"
    );
    assert_eq!(
        rules("cherry_pick_pattern = \"#\\\\d+\""),
        "`cherry_pick_pattern` in [rules.default] has no group for the number \
         (file=bitlake.toml, line=11): enclose the number in parentheses, such as `#(\\d+)`"
    );
    assert_eq!(
        rules("change_branches = [\"main\", \"(\"]"),
        "`change_branches` is not a valid regular expression, `(`: unclosed group (file=bitlake.toml, line=11)"
    );
    assert_eq!(
        rules("change_branches = []"),
        "`change_branches` in [rules.default] contains no pattern (file=bitlake.toml, line=11): \
         remove the key, or write patterns, such as `[\"^main$\"]`"
    );
    assert_eq!(
        rules("components = { api = \"(\" }"),
        "`api` in [rules.default] components is not a valid regular expression, `(`: \
         unclosed group (file=bitlake.toml, line=11)"
    );
    assert_eq!(
        rules("tags.limit = 0"),
        "`limit` in [rules.default] tags must be from 1 to 2147483647, not 0 \
         (file=bitlake.toml, line=11)"
    );
    assert_eq!(
        rules("issue_type = { bug = \"INCIDNT\" }"),
        "`bug` in [rules.default] issue_type cannot be `INCIDNT` (file=bitlake.toml, line=11): \
         did you mean `INCIDENT`?"
    );
}

#[test]
fn a_status_mapped_twice_names_both_lists() {
    assert_eq!(
        base_and("[rules.default.issue_status]\ndone = [\"closed\"]\nother = [\"closed\"]\n"),
        "the issue state `closed` is mapped twice, in `done` and in `other` \
         (file=bitlake.toml, line=12): keep the state in one list"
    );
    assert_eq!(
        base_and("[rules.default.issue_status]\ndone = [\"wont fix\"]\n"),
        "Bitbucket has no issue state `wont fix` (file=bitlake.toml, line=11): \
         did you mean `wontfix`?"
    );
}

#[test]
fn expiry() {
    let connection = |keys: &str| {
        message(parse(&format!(
            "[[connection]]\nid = 1\nname = \"acme\"\n{keys}\n"
        )))
    };
    assert_eq!(
        connection("auth = \"access-token\"\ntoken = { env = \"T\", expires = \"31.01.2027\" }"),
        "`expires` in [[connection]] token cannot be `31.01.2027` (file=bitlake.toml, line=5): \
         write a date, such as 2027-01-31"
    );
    assert_eq!(
        connection("auth = \"access-token\"\nexpires = 2027\ntoken = { env = \"T\" }"),
        "`expires` in [[connection]] must be a date, not an integer (file=bitlake.toml, line=5)"
    );
    assert_eq!(
        connection("auth = \"none\"\nexpires = 2027-01-31"),
        "`expires` in [[connection]] does not apply to auth = \"none\" (file=bitlake.toml, line=5)"
    );
}

#[test]
fn sync() {
    let sync = |keys: &str| base_and(&format!("[sync]\n{keys}\n"));
    assert_eq!(
        sync("since = \"6 moons\""),
        "`since` in [sync] cannot be `6 moons` (file=bitlake.toml, line=11): write \"6 months\", \
         \"90 days\", \"2 weeks\", \"1 year\" or a date such as \"2026-01-31\""
    );
    assert_eq!(
        sync("cron = \"0 0 2 * * *\""),
        "`cron` in [sync] must have five fields, but `0 0 2 * * *` has 6 \
         (file=bitlake.toml, line=11): write minute, hour, day of month, month and day of week, such \
         as \"0 2 * * *\""
    );
    for cron in [
        "0 2 * * mon;tue",
        "0 25 * * *",
        "61 * * * *",
        "0 2 * * funday",
    ] {
        let shown = sync(&format!("since = \"1 year\"\ncron = \"{cron}\""));
        let start = format!("`cron` in [sync] cannot be `{cron}` (file=bitlake.toml, line=12): ");
        assert!(shown.starts_with(&start), "{shown}");
        assert!(
            shown.ends_with(
                "write an expression such as \"0 2 * * *\", which is every day at 2 o'clock"
            ),
            "{shown}"
        );
    }
    assert_eq!(
        sync("cron = \"0 2 31 2 *\""),
        "`cron` in [sync] never matches a date: `0 2 31 2 *` (file=bitlake.toml, line=11)"
    );
    assert_eq!(
        sync("timezone = \"Europe/Berln\""),
        "`timezone` in [sync] cannot be `Europe/Berln` (file=bitlake.toml, line=11): \
         did you mean `Europe/Berlin`?"
    );
    assert_eq!(
        sync("commits = \"gti\""),
        "`commits` in [sync] cannot be `gti` (file=bitlake.toml, line=11): did you mean `git`?"
    );
}

#[test]
fn outside_tables() {
    let table = |keys: &str| base_and(&format!("[[table]]\n{keys}\n"));
    assert_eq!(
        table("name = \"incidents\""),
        "`name` in [[table]] cannot be `incidents` (file=bitlake.toml, line=11): \
         write layer.table, such as \"domain.incidents\""
    );
    assert_eq!(
        table("name = \"domian.incidents\""),
        "`name` in [[table]] names an unknown layer, `domian` (file=bitlake.toml, line=11): \
         did you mean `domain`?"
    );
    assert_eq!(
        table("name = \"domain.incidents\"\nlocation = \"x\"\nformat = \"xlsx\""),
        "`format` in [[table]] cannot be `xlsx` (file=bitlake.toml, line=13): \
         use one of: csv, ndjson, parquet"
    );
    assert_eq!(
        table("name = \"domain.incidents\"\nformat = \"csv\""),
        "`location` is missing in [[table]] (file=bitlake.toml, line=10): \
         add the path or the URL of the files, as in `s3://bucket/incidents/*.csv`"
    );
    let one = "[[table]]\nname = \"domain.incidents\"\nlocation = \"x\"\nformat = \"csv\"\n";
    assert_eq!(
        base_and(&format!("{one}{one}")),
        "two [[table]] replace the table `domain.incidents` (file=bitlake.toml, line=15): \
         remove one of them, or set `add = true`; the other is at bitlake.toml:10"
    );
    let added =
        "[[table]]\nname = \"config.rules\"\nlocation = \"x\"\nformat = \"csv\"\nadd = true\n";
    assert_eq!(
        base_and(added),
        "`add` in [[table]] is not possible for `config.rules` (file=bitlake.toml, line=14): \
         rows can be added to tables of domain, dora and metrics only"
    );
}

#[test]
fn files_besides_the_lake_that_are_no_files_of_this_machine() {
    assert_eq!(
        base_and("[metrics]\ntextfile = \"s3://bucket/bitlake.prom\"\n"),
        "`s3://bucket/bitlake.prom` is not a path of this machine (file=bitlake.toml, line=11): \
         write the metrics to a local file, and upload it after the run"
    );
    assert_eq!(
        base_and("[metrics]\ntextfile = \"folder/\"\n"),
        "`textfile` is not a file (file=bitlake.toml, line=11): add the name of a .prom file"
    );
    assert_eq!(
        base_and("[report]\npath = \"s3://bucket/page.html\"\n"),
        "`s3://bucket/page.html` is not a path of this machine (file=bitlake.toml, line=11): \
         write the page to a local file, and upload it after the run"
    );
    assert_eq!(
        base_and("[metrics]\ntextfiles = \"x\"\n"),
        "unknown key `textfiles` in [metrics] (file=bitlake.toml, line=11): did you mean `textfile`?"
    );
}
