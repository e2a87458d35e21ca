//! No secret of a connection, a proxy or a pipeline's author is written or printed, even when error pages repeat the request.
//! The tests search every byte.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bitlake_sandbox::AcceptedCredentials;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

const EMAIL: &str = "ci@acme.example";
const TOKEN: &str = "planted-token-0123456789";
const KEY: &str = "planted-key-0123456789";
const SECRET: &str = "planted-secret-0123456789";
const REGISTRY: &str = "planted-registry-password";
const PROXY: &str = "planted-proxy-password";

/// The texts that must not be found. All planted secrets begin alike; their encoded forms do not.
fn secrets() -> Vec<String> {
    let packed = |text: String| BASE64_STANDARD.encode(text);
    vec![
        "planted-".to_owned(),
        packed(format!("{EMAIL}:{TOKEN}")),
        packed(format!("{KEY}:{SECRET}")),
        packed(format!("user:{PROXY}")),
    ]
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

/// Return a file's bytes as text, and those of Parquet decompressed as well.
fn text(path: &Path) -> String {
    let mut text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    if path.extension().is_some_and(|it| it == "parquet") {
        let file = std::fs::File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        text += &pretty_format_batches(&batches).unwrap().to_string();
    }
    text
}

struct Place {
    folder: TempDir,
}

impl Place {
    fn new(endpoint: &str, connection: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[lake]\nurl = \"lake\"\n\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{endpoint}\"\n{connection}\n\
             \n[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n\n[sync]\nsince = \"2026-01-01\"\n\n\
             [rules.default]\nsteps = \"all\"\n"
        );
        std::fs::write(folder.path().join("bitlake.toml"), config).unwrap();
        Self { folder }
    }

    /// Return everything that a command with the most verbose log prints and writes.
    fn all_of(&self, command: &str, env: &[(&str, &str)]) -> String {
        let mut program = Command::new(env!("CARGO_BIN_EXE_bitlake"));
        program
            .args(["-vvv", command, "--log-format", "json"])
            .current_dir(self.folder.path())
            .env_remove("RUST_LOG")
            .env("TOKEN", TOKEN)
            .env("KEY", KEY)
            .env("SECRET", SECRET)
            .envs(env.iter().copied());
        let output = program.output().unwrap();
        let mut all = String::from_utf8(output.stdout).unwrap();
        all += &String::from_utf8(output.stderr).unwrap();
        for file in files(self.folder.path()) {
            all += &file.display().to_string();
            all += &text(&file);
        }
        all
    }
}

fn assert_clean(all: &str) {
    for secret in secrets() {
        if let Some(at) = all.find(&secret) {
            let around: String = all[..at].chars().rev().take(300).collect();
            let around: String = around.chars().rev().collect();
            panic!("a secret after: {around}");
        }
    }
}

/// Create a workspace with a registry's password in a step's image and in every text that an author may fill.
fn planted() -> TempDir {
    let folder = served();
    let path = folder.path().join("acme/web/pipeline_steps.jsonl");
    let step = std::fs::read_to_string(&path).unwrap();
    let mut step: Value = serde_json::from_str(&step).unwrap();
    step["image"] =
        json!({"name": "registry.acme.example/builder", "username": "u", "password": REGISTRY});
    step["script_commands"] = json!([{"command": format!("docker login -p {REGISTRY}")}]);
    std::fs::write(path, step.to_string()).unwrap();
    folder
}

/// Error replies of every kind, each with the request's headers in its body.
fn echoes() -> Vec<Fault> {
    let on = |path: &str| Fault::on(path).echo();
    vec![
        // Without `fields`, the list of steps contains the whole image.
        on("/steps/")
            .times(1)
            .status(400)
            .body(json!({"error": {"message": "Invalid fields"}})),
        on("/members").status(403),
        on("/web/refs/branches").status(404),
        on("/web/refs/tags").status(410),
        on("/web/commits").status(409),
        on("/web/issues?")
            .body("<html>")
            .header("content-type", "text/html"),
        on("/web/environments/").body("{\"values\": {}}"),
        on("/web/pullrequests/activity")
            .status(302)
            .header("location", "/elsewhere"),
        on("/api/pullrequests?")
            .status(418)
            .body(json!({"error": {"message": "teapot"}})),
    ]
}

async fn with(command: &'static str, connection: &str, credentials: AcceptedCredentials) -> String {
    let folder = planted();
    let builder = Sandbox::builder()
        .workspace_dir(folder.path())
        .faults(echoes());
    let sandbox = builder.credentials(credentials).start(0).await.unwrap();
    let connection = connection.replace("{token_url}", &sandbox.token_url());
    let place = Place::new(&sandbox.endpoint(), &connection);
    let all = tokio::task::spawn_blocking(move || place.all_of(command, &[]))
        .await
        .unwrap();
    assert_clean(&all);
    // Without an echo, the test would prove nothing.
    assert!(all.contains("***"), "{all}");
    assert!(all.contains("registry.acme.example/builder"));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_token_is_nowhere() {
    let connection =
        format!("auth = \"api-token\"\nemail = \"{EMAIL}\"\ntoken = {{ env = \"TOKEN\" }}");
    with("run", &connection, AcceptedCredentials::basic(EMAIL, TOKEN)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_is_nowhere() {
    let connection = "auth = \"access-token\"\ntoken = { env = \"TOKEN\" }";
    with("collect", connection, AcceptedCredentials::bearer(TOKEN)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oauth_consumer_and_its_tokens_are_nowhere() {
    let connection = "auth = \"oauth-client\"\nkey = { env = \"KEY\" }\nsecret = { env = \"SECRET\" }\n\
        token_url = \"{token_url}\"";
    let hour = Duration::from_secs(3600);
    let all = with(
        "collect",
        connection,
        AcceptedCredentials::oauth_client(KEY, SECRET, hour),
    )
    .await;
    assert!(!all.contains("sandbox-access-token-"), "{all}");
}

/// Return the token in the spellings of JSON and of addresses.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_repeated_in_another_spelling_is_nowhere() {
    let escaped = r"\u0070lanted\u002Dtoken-0123456789 planted%2Dtoken%2D0123456789 %70lanted-token-0123456789";
    let body = format!(
        r#"{{"error": {{"message": "{escaped}", "detail": {{"required": ["{escaped}"], "granted": ["{escaped}"]}},
            "fields": {{"{escaped}": ["{escaped}"]}}, "id": "{escaped}",
            "data": {{"announcement_url": "https://x.example/{escaped}", "shas": ["{escaped}"]}}}}}}"#
    );
    let refusal = |path: &str, status| {
        let fault = Fault::on(path).status(status).body(body.as_str());
        fault
            .header("content-type", "application/json")
            .header("x-oauth-scopes", "planted%2Dtoken-0123456789")
    };
    let faults = [
        refusal("/members", 403),
        refusal("/web/refs", 400),
        refusal("/web/commits", 404),
        refusal("/web/pullrequests?", 410),
        refusal("/web/pipelines/", 403),
        refusal("/api/pipelines/", 418),
    ];
    let folder = served();
    let builder = Sandbox::builder().workspace_dir(folder.path());
    let builder = builder.credentials(AcceptedCredentials::bearer(TOKEN));
    let sandbox = builder.faults(faults).start(0).await.unwrap();
    let connection = "auth = \"access-token\"\ntoken = { env = \"TOKEN\" }";
    let place = Place::new(&sandbox.endpoint(), connection);
    let all = tokio::task::spawn_blocking(move || {
        [place.all_of("run", &[]), place.all_of("check", &[])].concat()
    });
    let all = all.await.unwrap();
    assert_clean(&all);
    assert!(!all.contains("lanted") && all.contains("***"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_nowhere() {
    let folder = served();
    let builder = Sandbox::builder().workspace_dir(folder.path());
    let builder = builder.faults([Fault::on("/").status(401).echo()]);
    let sandbox = builder.start(0).await.unwrap();
    let connection =
        format!("auth = \"api-token\"\nemail = \"{EMAIL}\"\ntoken = {{ env = \"TOKEN\" }}");
    let place = Place::new(&sandbox.endpoint(), &connection);
    let all = tokio::task::spawn_blocking(move || place.all_of("collect", &[]))
        .await
        .unwrap();
    assert_clean(&all);
    assert!(all.contains("***"), "{all}");
}

/// A proxy that does not exist, and one that refuses its password.
#[test]
fn a_proxys_password_is_nowhere() {
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = refusing.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in refusing.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
            );
        }
    });
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = closed.local_addr().unwrap().port();
    drop(closed);
    for port in [port, silent] {
        let connection = "auth = \"access-token\"\ntoken = { env = \"TOKEN\" }";
        let place = Place::new("https://bitbucket.invalid/2.0/", connection);
        let proxy = format!("http://user:{PROXY}@127.0.0.1:{port}");
        let all = place.all_of("collect", &[("HTTPS_PROXY", &proxy)]);
        assert_clean(&all);
        assert!(all.contains("bitbucket.invalid"), "{all}");
    }
}
