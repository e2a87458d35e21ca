//! Lakes on Google Cloud Storage and Azure Blob Storage, by the program and by readers; and stores that no lake may be on.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use bitlake::lake::Lake;
use bitlake::schema::Contracts;
use serde_json::json;
use tempfile::TempDir;

use super::check::{ALL, API_TOKEN, GOOD, for_the_good_token};
use super::demo::text;
use super::loading::described;
use super::python::Python;
use super::stores::{self, Ground, Service};
use super::support::Bench;

/// The endpoint of a connection that is not used.
const NOWHERE: &str = "http://127.0.0.1:9/2.0/";

/// A process of the program without credentials of the machine of the tests.
fn without_credentials(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitlake"));
    for (name, _) in std::env::vars() {
        if ["AWS_", "GOOGLE_", "AZURE_"]
            .iter()
            .any(|of| name.starts_with(of))
        {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).current_dir(home);
    command
}

/// A process of the program with a lake below the bucket of a service, and with no credentials but the service's.
fn program(folder: &Path, service: &Service, endpoint: &str) -> Command {
    let lake = service.lines("some/prefix");
    let config = format!(
        "[lake]\n{lake}[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{endpoint}\"\n{API_TOKEN}\n{ALL}"
    );
    std::fs::write(folder.join("bitlake.toml"), config).unwrap();
    let mut command = without_credentials(folder);
    command.envs(service.environment()).envs([GOOD]);
    command
}

async fn finish(mut command: Command) -> (Option<i32>, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Collect and transform on each home: the same bytes as on local disk, which DuckDB reads from there.
#[tokio::test]
async fn a_lake_on_each_home_equals_one_on_local_disk() {
    let homes = [stores::gcs("whole-way").await, stores::azurite("whole-way")];
    let layers = ["domain", "dora", "metrics"];
    let collected = async |lake: Option<Lake>| {
        let mut bench = Bench::quirk("superseded_pull_request").await;
        bench.lake = lake.unwrap_or(bench.lake);
        bench.complete().await;
        bench.transform(&layers).await.unwrap();
        let manifest = bench.lake.manifest().await.unwrap();
        let files = manifest.tables.into_values().flat_map(|table| table.files);
        // The address of the sandbox is a setting, and another for each.
        let files = files.filter(|(path, _)| !path.starts_with("config/connections/"));
        let files = files.map(|(path, entry)| (path, entry.sha256));
        (bench, files.collect::<BTreeSet<_>>())
    };
    let (local, expected) = collected(None).await;
    assert!(expected.len() > 100, "{}", expected.len());
    for ground in homes.iter().flatten() {
        let (mut bench, found) = collected(Some(ground.lake())).await;
        let differing: Vec<_> = found.symmetric_difference(&expected).collect();
        assert!(differing.is_empty(), "{differing:?}");
        bench.complete().await;
        let again = bench.transform(&layers).await.unwrap().published;
        assert_eq!((again.files_written, again.files_removed), (0, 0));
        is_read_by_duckdb(ground, &local.lake).await;
    }
}

/// DuckDB executes what `ddl` prints for the lake on the home. `copy` has the same files on local disk.
async fn is_read_by_duckdb(ground: &Ground, copy: &Lake) {
    let Some(python) = Python::with("loading") else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let service = ground.service.as_ref().unwrap();
    let mut command = program(folder.path(), service, NOWHERE);
    command.args(["ddl", "--dialect", "duckdb"]);
    let (code, script, error) = finish(command).await;
    assert_eq!(code, Some(0), "{error}");
    let manifest = copy.manifest().await.unwrap();
    let mut tables = serde_json::Map::new();
    for contract in Contracts::bundled().unwrap().iter() {
        let files = manifest.files(&contract.name());
        let files: Vec<_> = files.filter(|(_, file)| file.rows > 0).collect();
        let paths: Vec<_> = files.iter().map(|(path, _)| path.as_str()).collect();
        if !paths.is_empty() && contract.name() != "config.connections" {
            tables.insert(contract.name(), described(contract, &paths));
        }
    }
    assert!(tables.len() > 10, "{}", tables.len());
    let [extension, secret] = &service.duckdb;
    let plan = json!({
        "folder": folder.path(),
        "lake": copy.url(),
        "script": script,
        "tables": tables,
        "extensions": [extension],
        "before": secret,
    });
    python.run("duckdb", &plan, folder.path());
}

/// `check`, and the first command that writes a lake, name the store and the condition that it ignores.
#[tokio::test]
async fn a_store_that_ignores_a_condition_is_refused_by_its_name() {
    let mut refused = vec![(
        stores::s3s_careless(),
        "store=S3 at http://127.0.0.1:",
        "If-None-Match",
    )];
    let google = "store=Google Cloud Storage at http://127.0.0.1:";
    for (bucket, condition) in [
        ("careless-bucket", "x-goog-if-generation-match: 0"),
        ("forgetful-bucket", "x-goog-if-generation-match"),
    ] {
        if let Some(ground) = stores::gcs(bucket).await {
            refused.push((ground.service.unwrap(), google, condition));
        }
    }
    let sandbox = for_the_good_token().start(0).await.unwrap();
    for (service, store, condition) in refused {
        let folder = TempDir::new().unwrap();
        for name in ["check", "run"] {
            let mut command = program(folder.path(), &service, &sandbox.endpoint());
            command.arg(name);
            let (code, stdout, stderr) = finish(command).await;
            let printed = stdout + &stderr;
            assert_eq!(code, Some(5), "{name} {condition}: {printed}");
            for part in [
                "the store does not honour the condition of a put",
                store,
                &format!("condition={condition})"),
            ] {
                assert!(printed.contains(part), "{name}: {part}\n{printed}");
            }
        }
        // Nothing is left of the probes.
        let lake = Lake::create(
            &format!("{}/some/prefix", service.address),
            &service.options(),
        );
        let left = lake.unwrap().list("").await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Without the XML API that `tests/stores/gcs.py` adds, the emulator answers a put without ETag and generation.
#[tokio::test]
async fn an_emulator_without_generations_is_refused() {
    let Some(ground) = stores::bare_gcs("bare").await else {
        return;
    };
    let error = ground.lake().ensure_conditional().await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 5);
    let printed = error.to_string();
    assert!(printed.contains("cannot write to the lake"), "{printed}");
}

/// The status of a lake at `url`, with these lines and variables; all that it printed.
fn status(url: &str, lines: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    let config = format!("[lake]\nurl = \"{url}\"\n{lines}");
    std::fs::write(folder.path().join("bitlake.toml"), config).unwrap();
    let mut command = without_credentials(folder.path());
    command.arg("status").envs(variables.iter().copied());
    let output = command.env("RUST_LOG", "debug").output().unwrap();
    let printed = text(&[output.stdout, output.stderr].concat());
    (output.status.code(), printed)
}

const AZURE: &str =
    "endpoint = \"http://127.0.0.1:9/acme\"\nallow_http = true\naccount_name = \"acme\"\n";

#[test]
fn missing_credentials_of_google_and_azure_are_reported_as_such() {
    let google = "endpoint = \"http://127.0.0.1:9\"\nallow_http = true\n";
    // No machine's metadata service is asked.
    let nowhere = [
        ("GCE_METADATA_HOST", "127.0.0.1:9"),
        ("GCE_METADATA_IP", "127.0.0.1:9"),
    ];
    let (code, printed) = status("gs://bucket/lake", google, &nowhere);
    assert_eq!(code, Some(5), "{printed}");
    assert!(
        printed.contains("error: no Google credentials ("),
        "{printed}"
    );
    assert!(
        printed.contains("GOOGLE_APPLICATION_CREDENTIALS"),
        "{printed}"
    );
    let nowhere = [("AZURE_MSI_ENDPOINT", "http://127.0.0.1:9/token")];
    let (code, printed) = status("az://container/lake", AZURE, &nowhere);
    assert_eq!(code, Some(5), "{printed}");
    assert!(
        printed.contains("error: no Azure credentials ("),
        "{printed}"
    );
    let (code, printed) = status("az://container/lake", "", &[]);
    assert_eq!(code, Some(2), "{printed}");
    assert!(printed.contains("error: no storage account ("), "{printed}");
}

/// A shared access signature is in the URL of every request.
#[test]
fn no_error_shows_a_credential() {
    let key = r#"{"type": "service_account", "private_key": "-----BEGIN s3cr3t-key", "private_key_id": "s3cr3t-id",
        "client_email": "x"}"#;
    for (url, lines, variable) in [
        (
            "az://c/lake",
            AZURE,
            (
                "AZURE_STORAGE_SAS_TOKEN",
                "sv=2022-11-02&sig=s3cr3tsignature%3D",
            ),
        ),
        (
            "az://c/lake",
            AZURE,
            ("AZURE_STORAGE_ACCOUNT_KEY", "s3cr3t, not base64"),
        ),
        (
            "az://c/lake",
            AZURE,
            ("AZURE_STORAGE_TOKEN", "s3cr3t-token"),
        ),
        ("gs://b/lake", "", ("GOOGLE_SERVICE_ACCOUNT_KEY", key)),
        (
            "gs://b/lake",
            "",
            ("GOOGLE_SERVICE_ACCOUNT_KEY", "s3cr3t, not JSON"),
        ),
    ] {
        let (code, printed) = status(url, lines, &[variable]);
        assert!(matches!(code, Some(2 | 5)), "{variable:?}: {printed}");
        assert!(printed.contains("error: "), "{printed}");
        assert!(!printed.contains("s3cr3t"), "{variable:?}: {printed}");
    }
}
