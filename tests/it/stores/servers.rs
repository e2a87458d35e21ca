//! The servers of stores that run beside the tests: moto's S3, gcp-storage-emulator and Azurite. One of each serves all
//! tests, on a port of the system's, and stops when this process closes its standard input.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use super::super::npm::packages;
use super::super::python::interpreter;

/// The account of Azurite, and its key.
const ACCOUNT: &str = "lakes";
const KEY: &str = "YSBrZXkgb2YgdGhlIHRlc3Rz";

/// A program that printed its port.
struct Server {
    port: String,
    /// Its standard input and output.
    child: Mutex<(Child, BufReader<std::process::ChildStdout>)>,
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        output.read_line(&mut port).unwrap();
        Self {
            port: port.trim().to_owned(),
            child: Mutex::new((child, output)),
        }
    }

    fn python(script: &str, arguments: &[&str]) -> Option<Self> {
        let python = interpreter("stores")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/stores")
            .join(script);
        Some(Self::start(
            Command::new(python).arg(script).args(arguments),
        ))
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Send a line, and return the line that the server answers.
    fn ask(&self, line: &str) -> String {
        let mut child = self.child.lock().unwrap();
        let (child, output) = &mut *child;
        writeln!(child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        output.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }
}

static MOTO: LazyLock<Option<Server>> = LazyLock::new(|| Server::python("serve.py", &[]));
static GCS: LazyLock<Option<Server>> = LazyLock::new(|| Server::python("gcs.py", &[]));
static BARE_GCS: LazyLock<Option<Server>> = LazyLock::new(|| Server::python("gcs.py", &["bare"]));
static AZURITE: LazyLock<Option<Server>> = LazyLock::new(|| {
    let packages = packages("azurite")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azurite/serve.mjs");
    let mut command = Command::new("node");
    command.arg(script).arg(packages);
    Some(Server::start(
        command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}")),
    ))
});

/// How a bucket is reached.
pub struct Service {
    /// The address of the bucket, such as `gs://bucket`.
    pub address: String,
    /// The settings of `[lake]`.
    pub settings: BTreeMap<String, String>,
    /// The credentials, as settings of object_store and as variables of the environment.
    credentials: Vec<[&'static str; 3]>,
    /// The extension with which DuckDB reads the bucket, and the statement that gives it access.
    pub duckdb: [String; 2],
}

impl Service {
    /// The settings with the credentials, which the library takes and the configuration refuses.
    pub fn options(&self) -> BTreeMap<String, String> {
        let credentials = self.credentials.iter();
        let credentials =
            credentials.map(|[key, _, value]| ((*key).to_owned(), (*value).to_owned()));
        self.settings
            .clone()
            .into_iter()
            .chain(credentials)
            .collect()
    }

    /// The variables with the credentials.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.credentials
            .iter()
            .map(|[_, name, value]| (*name, *value))
    }

    /// The lines of `[lake]` for a lake below the bucket.
    pub fn lines(&self, prefix: &str) -> String {
        let settings = self.settings.iter();
        let settings = settings.map(|(key, value)| match value.as_str() {
            "true" => format!("{key} = true\n"),
            _ => format!("{key} = {value:?}\n"),
        });
        format!(
            "url = \"{}/{prefix}\"\n{}",
            self.address,
            settings.collect::<String>()
        )
    }
}

fn settings(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = settings.iter();
    let owned = owned.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn httpfs(kind: &str, endpoint: &str) -> [String; 2] {
    let host = endpoint.trim_start_matches("http://");
    let secret = format!(
        "CREATE SECRET (TYPE {kind}, KEY_ID 'key', SECRET 'secret', ENDPOINT '{host}', USE_SSL false, URL_STYLE 'path')"
    );
    ["httpfs".to_owned(), secret]
}

/// A bucket of an S3 server at `endpoint`.
pub fn s3(endpoint: &str, bucket: &str) -> Service {
    Service {
        address: format!("s3://{bucket}"),
        settings: settings(&[
            ("endpoint", endpoint),
            ("allow_http", "true"),
            ("region", "us-east-1"),
        ]),
        credentials: vec![
            ["access_key_id", "AWS_ACCESS_KEY_ID", "key"],
            ["secret_access_key", "AWS_SECRET_ACCESS_KEY", "secret"],
        ],
        duckdb: httpfs("s3", endpoint),
    }
}

/// Create a versioned bucket in moto, and return its endpoint.
pub async fn moto_bucket(bucket: &str) -> Option<String> {
    let endpoint = MOTO.as_ref()?.address();
    let client = reqwest::Client::new();
    let at = format!("{endpoint}/{bucket}");
    let put = client.put(&at).send().await.unwrap();
    assert!(put.status().is_success(), "{put:?}");
    let versioned = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let put = client.put(format!("{at}?versioning")).body(versioned);
    assert!(put.send().await.unwrap().status().is_success());
    Some(endpoint)
}

/// Create a bucket in gcp-storage-emulator, with the XML API added or as it is.
pub async fn gcs_bucket(bucket: &str, is_bare: bool) -> Option<Service> {
    let server = if is_bare { &BARE_GCS } else { &GCS };
    let endpoint = server.as_ref()?.address();
    let create = reqwest::Client::new()
        .post(format!("{endpoint}/storage/v1/b"))
        .header("content-type", "application/json")
        .body(format!("{{\"name\": \"{bucket}\"}}"));
    let created = create.send().await.unwrap();
    assert!(created.status().is_success(), "{created:?}");
    Some(Service {
        address: format!("gs://{bucket}"),
        settings: settings(&[
            ("endpoint", &endpoint),
            ("allow_http", "true"),
            ("skip_signature", "true"),
        ]),
        credentials: Vec::new(),
        duckdb: httpfs("gcs", &endpoint),
    })
}

/// Create a container in Azurite.
pub fn azurite_container(container: &str) -> Option<Service> {
    let server = AZURITE.as_ref()?;
    let status = server.ask(container);
    assert_eq!(status, "201", "{container}");
    let endpoint = format!("{}/{ACCOUNT}", server.address());
    let secret = format!(
        "CREATE SECRET (TYPE azure, CONNECTION_STRING 'DefaultEndpointsProtocol=http;AccountName={ACCOUNT};\
         AccountKey={KEY};BlobEndpoint={endpoint};')"
    );
    Some(Service {
        address: format!("az://{container}"),
        settings: settings(&[
            ("endpoint", &endpoint),
            ("allow_http", "true"),
            ("account_name", ACCOUNT),
        ]),
        credentials: vec![["account_key", "AZURE_STORAGE_ACCOUNT_KEY", KEY]],
        duckdb: ["azure".to_owned(), secret],
    })
}
