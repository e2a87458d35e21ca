//! Bad input, through the program itself: the right exit code, one line that says what to do, nothing lost, no panic.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use bitlake_sandbox::{AcceptedCredentials, Builder, Fault, Interruption, Sandbox};
use tempfile::TempDir;

use super::support::{copy, fixture};

const SECRET: &str = "s3cr3t-of-the-test";

/// A folder with a workspace to serve, a `bitlake.toml` and, after a run, a lake.
struct Place {
    folder: TempDir,
    sandbox: Sandbox,
}

/// How the program ended.
struct ProgramOutput {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Place {
    /// Two small repositories, `acme/web` and `acme/api`.
    async fn new() -> Self {
        Self::serving(|builder| builder).await
    }

    async fn serving(adjust: impl FnOnce(Builder) -> Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let acme = folder.path().join("served/acme");
        copy(&fixture("quirks/deployment_stopped/acme"), &acme);
        copy(
            &fixture("quirks/superseded_pull_request/acme/web"),
            &acme.join("api"),
        );
        let record = acme.join("api/repository.json");
        let text = std::fs::read_to_string(&record).unwrap();
        let text = text
            .replace("acme/web", "acme/api")
            .replace("\"web\"", "\"api\"")
            .replace("{00000460-", "{00000461-");
        std::fs::write(&record, text).unwrap();
        let builder = Sandbox::builder().workspace_dir(folder.path().join("served"));
        let sandbox = adjust(builder).start(0).await.unwrap();
        let place = Self { folder, sandbox };
        place.configure("");
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a configuration that works, with `more` behind it.
    fn configure(&self, more: &str) {
        let text = format!(
            "[lake]\nurl = \"lake\"\n\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{}\"\n\
             auth = \"access-token\"\ntoken = {{ env = \"TOKEN\" }}\n\n[[repositories]]\nconnection = \"acme\"\n\
             include = [\"acme/*\"]\n\n{more}\n",
            self.sandbox.endpoint()
        );
        std::fs::write(self.path("bitlake.toml"), text).unwrap();
    }

    /// Changes one line of the configuration.
    fn change(&self, from: &str, to: &str) {
        let path = self.path("bitlake.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    fn bitlake(&self, args: &[&str]) -> ProgramOutput {
        self.command(args, true)
    }

    fn command(&self, args: &[&str], with_secret: bool) -> ProgramOutput {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitlake"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("BITLAKE__RULES__DEFAULT__STEPS", "all")
            .env_remove("BITLAKE_CONFIG")
            .env_remove("RUST_LOG")
            .env_remove("TOKEN");
        if with_secret {
            command.env("TOKEN", SECRET);
        }
        let output = command.output().unwrap();
        let finished = ProgramOutput {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        for text in [&finished.stdout, &finished.stderr] {
            assert!(
                !text.contains("panicked") && !text.contains(SECRET),
                "{text}"
            );
        }
        finished
    }

    fn run(&self) -> ProgramOutput {
        self.bitlake(&["run"])
    }

    fn rows(&self, sql: &str) -> String {
        let finished = self.bitlake(&["query", "--format", "csv", "--sql", sql]);
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let lines: Vec<_> = finished.stdout.lines().skip(1).collect();
        lines.join(";")
    }

    fn published(&self) -> bool {
        self.path("lake/_bitlake/manifest.json").exists()
    }
}

impl ProgramOutput {
    /// One line on `stderr`, which holds all of `words`.
    #[track_caller]
    fn is_error(&self, code: i32, words: &[&str]) {
        let stderr = &self.stderr;
        assert_eq!(self.code, code, "{stderr}");
        assert_eq!(self.stdout, "");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word} is missing: {stderr}");
        }
    }

    /// Finished, with something left out that `stderr` names in one line with all of `words`.
    #[track_caller]
    fn is_incomplete(&self, words: &[&str]) {
        let stderr = &self.stderr;
        assert_eq!(self.code, 1, "{stderr}");
        assert!(!stderr.contains("error: "), "{stderr}");
        assert!(
            stderr
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word))),
            "{words:?} are missing: {stderr}"
        );
    }

    #[track_caller]
    fn is_complete(&self) {
        assert_eq!(self.code, 0, "{}", self.stderr);
        assert_eq!(self.stderr, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_names_its_line_and_the_key_meant() {
    let place = Place::new().await;
    place.configure("[rules.default]\nenities = [\"code\"]");
    place
        .run()
        .is_error(2, &["`enities`", "bitlake.toml", "line=16", "`entities`"]);
    assert!(!place.path("lake").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_the_wrong_type_names_its_line() {
    let place = Place::new().await;
    place.change("id = 1", "id = \"one\"");
    place.run().is_error(2, &["id", "bitlake.toml", "line=5"]);
    place.configure("[sync]\nskip_failed = \"no\"");
    place.run().is_error(2, &["skip_failed", "bitlake.toml"]);
    std::fs::write(place.path("bitlake.toml"), "[lake\nurl = 1").unwrap();
    place.run().is_error(2, &["bitlake.toml", "line"]);
    assert!(place.sandbox.request_log().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_names_its_variable() {
    let place = Place::new().await;
    place
        .command(&["run"], false)
        .is_error(3, &["TOKEN", "bitlake.toml"]);
    place.change("{ env = \"TOKEN\" }", "{ file = \"nowhere/token\" }");
    place.run().is_error(3, &["nowhere/token"]);
    assert!(place.sandbox.request_log().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_name_where_they_came_from() {
    let place =
        Place::serving(|builder| builder.credentials(AcceptedCredentials::bearer("another"))).await;
    place.run().is_error(3, &["environment variable TOKEN"]);
    assert!(!place.published());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_host_is_named() {
    let place = Place::new().await;
    let endpoint = place.sandbox.endpoint();
    place.change(&endpoint, "http://127.0.0.1:1/2.0/");
    place.run().is_error(1, &["127.0.0.1"]);
    assert!(!place.published());
}

#[tokio::test(flavor = "multi_thread")]
async fn html_in_the_place_of_the_first_answer_ends_the_run() {
    let place = Place::new().await;
    let page = Fault::on("/repositories/acme")
        .status(200)
        .header("content-type", "text/html")
        .body("<!DOCTYPE html><html>\n<body>We'll be right back</body></html>");
    place.sandbox.inject(page);
    place.run().is_error(1, &["web page"]);
    place.sandbox.clear_faults();
    place
        .sandbox
        .inject(Fault::on("/repositories/acme").cut(Interruption::Text(60)));
    place.run().is_error(1, &["JSON"]);
    assert!(!place.published());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_too_early_is_asked_for_again() {
    let place = Place::new().await;
    let cut = Fault::on("/acme/web/commits?").times(1);
    place.sandbox.inject(cut.cut(Interruption::Body(100)));
    place.run().is_complete();
    assert_eq!(place.rows("SELECT count(*) FROM domain.commits"), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_table_or_column_in_a_query_is_a_usage_error() {
    let place = Place::new().await;
    place.bitlake(&["collect"]).is_complete();
    for sql in [
        "SELECT * FROM domain.nothing",
        "SELECT nothing FROM domain.repos",
    ] {
        place
            .bitlake(&["query", "--sql", sql])
            .is_error(2, &["nothing"]);
    }
    place
        .bitlake(&["query", "dora/nothing"])
        .is_error(2, &["dora/nothing"]);
    place
        .bitlake(&["tables", "domain.nothing"])
        .is_error(2, &["domain.nothing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_another_run_holds_is_left_alone() {
    let place = Place::new().await;
    place.bitlake(&["collect"]).is_complete();
    let lock = File::options()
        .write(true)
        .open(place.path("lake/_bitlake/lock"))
        .unwrap();
    lock.lock().unwrap();
    place.sandbox.reset_requests();
    place.run().is_error(5, &["another run", "wait"]);
    assert!(place.sandbox.request_log().is_empty());
    drop(lock);
    place.bitlake(&["collect"]).is_complete();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_cannot_be_written_or_read_is_named() {
    let place = Place::new().await;
    std::fs::write(place.path("lake"), "a file").unwrap();
    place.run().is_error(5, &["lake"]);
    std::fs::remove_file(place.path("lake")).unwrap();
    place.bitlake(&["collect"]).is_complete();
    std::fs::write(place.path("lake/_bitlake/manifest.json"), "{\"tables\": ").unwrap();
    place.run().is_error(5, &["manifest.json", "damaged"]);
}

/// `acme/api`'s pull requests are refused in a way that asking again does not help.
fn refused() -> Fault {
    Fault::on("/acme/api/pullrequests?").status(400)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_fails_is_skipped_and_the_others_are_published() {
    let place = Place::new().await;
    place.sandbox.inject(refused());
    place
        .run()
        .is_incomplete(&["acme/api", "pull_requests", "failed"]);
    assert_eq!(
        place.rows("SELECT name FROM domain.repos ORDER BY name"),
        "acme/api;acme/web"
    );
    assert_eq!(
        place.rows("SELECT result FROM domain.cicd_deployments"),
        "FAILURE"
    );
    assert_eq!(
        place.rows(
            "SELECT entity FROM config.completeness WHERE status = 'failed' AND full_name = 'acme/api' ORDER BY entity"
        ),
        "pull_request_activity;pull_request_comments;pull_request_commits;pull_requests"
    );
    place.sandbox.clear_faults();
    place.bitlake(&["collect"]).is_complete();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_list_is_named_once_with_those_that_depend_on_it() {
    let place = Place::new().await;
    place.sandbox.inject(refused());
    let web = Fault::on("/acme/web/pullrequests?").status(400);
    place.sandbox.inject(web);
    let stderr = place.run().stderr;
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    let dependents =
        "; with it: pull_request_activity, pull_request_comments, pull_request_commits";
    for (line, repository) in stderr.lines().zip(["acme/api", "acme/web"]) {
        assert!(
            line.contains(repository) && line.contains(dependents),
            "{line}"
        );
    }
}

/// Scopes of an API token.
fn modern(things: &[&str]) -> Vec<String> {
    let scope = |thing: &&str| format!("read:{thing}:bitbucket");
    things.iter().map(scope).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_list_of_one_repository_silences_no_other_and_is_named_once() {
    let legacy = ["pullrequest", "pipeline", "account", "issue:write"].map(str::to_owned);
    let granted = modern(&[
        "repository",
        "pullrequest",
        "pipeline",
        "workspace",
        "issue",
    ]);
    for granted in [granted, legacy.to_vec()] {
        let place = Place::serving(|builder| builder.scopes(granted)).await;
        let absent = r#"{"pipelines": {"status": 403, "body": "Forbidden"}}"#;
        std::fs::write(place.path("served/acme/api/disabled_features.json"), absent).unwrap();
        place.sandbox.reload().unwrap();
        // The refusal is the first thing that the run hears of pipelines.
        let late = Fault::on("/acme/web/refs").delay(std::time::Duration::from_millis(500));
        place.sandbox.inject(late);
        let first = place.run();
        assert_eq!(first.code, 0, "{}", first.stderr);
        assert_eq!(first.stderr.lines().count(), 1, "{}", first.stderr);
        let named = "cannot read pipelines, deployments, pipeline_steps, environments of acme/api: \
                     the credentials may not read it (403 Forbidden)";
        assert!(first.stderr.contains(named), "{}", first.stderr);
        let rows = place.rows("SELECT count(*) FROM domain.cicd_deployments");
        assert_eq!(rows, "1");
        place.run().is_complete();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_unavailable_in_the_first_run_are_named_once() {
    let granted = modern(&["repository", "pullrequest", "workspace", "issue"]);
    let place = Place::serving(|builder| builder.scopes(granted)).await;
    let absent = r#"{"pullrequests": {"status": 404}}"#;
    for repository in ["api", "web"] {
        let path = format!("served/acme/{repository}/disabled_features.json");
        std::fs::write(place.path(&path), absent).unwrap();
    }
    place.sandbox.reload().unwrap();
    let gone = Fault::on("/pullrequests?").status(404);
    place.sandbox.inject(gone);
    let first = place.run();
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(first.stderr.lines().count(), 1, "{}", first.stderr);
    assert!(
        first
            .stderr
            .contains("of acme/api, acme/web: the token lacks scope read:pipeline:bitbucket (403)"),
        "{}",
        first.stderr
    );
    let named = "not there   pull_requests, pull_request_activity, pull_request_comments, \
                 pull_request_commits of acme/api, acme/web: not there (404";
    assert!(first.stdout.contains(named), "{}", first.stdout);
    let second = place.run();
    second.is_complete();
    assert!(!second.stdout.contains("not there"), "{}", second.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_list_says_what_to_do_and_where_it_was_announced() {
    let place = Place::new().await;
    place.sandbox.inject(Fault::on("/pipelines/").status(410));
    let stdout = place.run().stdout;
    let printed = "bitbucket has removed it (410 CHANGE-";
    let todo = ": take \"cicd\" out of `entities` (announced at https://developer.atlassian.com/";
    assert!(
        stdout.contains(printed) && stdout.contains(todo),
        "{stdout}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_another_encoding_is_named_with_the_command_that_converts_it() {
    let place = Place::new().await;
    let utf16 = |text: &str| -> Vec<u8> {
        let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    place.change("{ env = \"TOKEN\" }", "{ file = \"token\" }");
    std::fs::write(place.path("token"), utf16(SECRET)).unwrap();
    place.run().is_error(
        3,
        &[
            "token is UTF-16",
            "iconv -f UTF-16 -t UTF-8",
            "bitlake.toml",
        ],
    );
    std::fs::write(place.path("token"), format!("\u{feff}{SECRET}\r\n")).unwrap();
    place.bitlake(&["collect"]).is_complete();

    place.configure("[org]\nusers = \"users.csv\"");
    std::fs::write(place.path("users.csv"), b"Id,Name\nu1,J\xfcrgen\n").unwrap();
    place
        .run()
        .is_error(2, &["users.csv", "line 2", "iconv -f WINDOWS-1252"]);
    std::fs::write(place.path("users.csv"), utf16("Id,Name\nu1,Ada\n")).unwrap();
    place.run().is_error(2, &["users.csv is UTF-16"]);
    std::fs::write(place.path("users.csv"), "\u{feff}Id,Name\nu1,Jürgen\n").unwrap();
    place.run().is_complete();
    assert_eq!(place.rows("SELECT name FROM domain.users"), "Jürgen");

    let text = std::fs::read_to_string(place.path("bitlake.toml")).unwrap();
    std::fs::write(place.path("bitlake.toml"), utf16(&text)).unwrap();
    place.run().is_error(2, &["bitlake.toml is UTF-16"]);
    std::fs::write(place.path("bitlake.toml"), format!("\u{feff}{text}")).unwrap();
    place.run().is_complete();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_file_with_absurd_counts_is_refused_with_a_way_out() {
    let place = Place::new().await;
    place.bitlake(&["collect"]).is_complete();
    let budgets = std::fs::read_dir(place.path("lake/_bitlake/budget")).unwrap();
    let budget = budgets.map(|it| it.unwrap().path()).next().unwrap();
    let now = "2026-11-30T00:00:00Z";
    for absurd in [
        format!(
            r#"{{"minutes": {{"{now}": 4294967295, "+262142-12-31T23:59:59Z": 4294967295}}, "open": 4294967295}}"#
        ),
        r#"{"minutes": {}, "open": 4294967295}"#.to_owned(),
        r#"{"minutes": {}, "open": -1}"#.to_owned(),
        r#"{"minutes": {}, "open": 0, "limit": 0}"#.to_owned(),
    ] {
        std::fs::write(&budget, &absurd).unwrap();
        place.run().is_error(
            5,
            &[
                "_bitlake/budget/",
                "damaged",
                "remove it: the requests of the last hour",
            ],
        );
    }
    // A wait until the end of time is one of an hour at most, and that is past the deadline.
    let closed = r#"{"minutes": {}, "open": 0, "closed_until": "+262142-12-31T23:59:59Z"}"#;
    std::fs::write(&budget, closed).unwrap();
    let finished = place.bitlake(&["run", "--deadline", "10m"]);
    assert_eq!(finished.code, 4, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("60 minutes"),
        "{}",
        finished.stderr
    );
    std::fs::remove_file(&budget).unwrap();
    place.run().is_complete();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_skip_failed_nothing_is_published() {
    let place = Place::new().await;
    place.configure("[sync]\nskip_failed = false");
    place.sandbox.inject(refused());
    place.run().is_error(1, &["acme/api", "pull_requests"]);
    assert!(!place.published());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_became_unavailable_keeps_its_rows_and_is_stale() {
    let place = Place::new().await;
    place.run().is_complete();
    let gone = Fault::on("/acme/web/pipelines/?").status(404);
    place.sandbox.inject(gone);
    place
        .run()
        .is_incomplete(&["acme/web", "pipelines", "stale"]);
    for table in ["cicd_pipelines", "cicd_tasks", "cicd_deployments"] {
        let sql = format!("SELECT count(*) FROM domain.{table}");
        assert_eq!(place.rows(&sql), "1", "{table}");
    }
    assert_eq!(
        place.rows("SELECT entity FROM config.completeness WHERE status = 'stale' ORDER BY entity"),
        "pipeline_steps;pipelines"
    );
    let status = place.bitlake(&["status"]);
    assert!(status.stdout.contains("stale"), "{}", status.stdout);
}
