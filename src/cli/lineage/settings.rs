//! Reads OpenLineage's environment variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::Url;
use serde::Deserialize;

use crate::digest::sha256_hex;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// The default namespace of jobs, as in OpenLineage's clients.
const DEFAULT_NAMESPACE: &str = "default";
/// The path of the API, as in OpenLineage's clients.
const DEFAULT_ENDPOINT: &str = "api/v1/lineage";

/// The destination of the events, and the run that started this run.
#[derive(Debug)]
pub(super) struct LineageSettings {
    pub(super) transport: LineageTransport,
    pub(super) namespace: String,
    pub(super) parent: Option<ParentRun>,
}

/// The destination of events.
#[derive(Debug)]
pub(super) enum LineageTransport {
    /// A server, which takes an event by POST.
    Http {
        url: Url,
        /// The bearer token.
        key: Option<Secret>,
    },
    /// A file, to which each event is appended as a line.
    File(PathBuf),
}

/// The run of another program that started this run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParentRun {
    pub(super) namespace: String,
    pub(super) job: String,
    /// A UUID.
    pub(super) run_id: String,
}

/// `OPENLINEAGE__TRANSPORT__AUTH`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authentication {
    #[serde(alias = "api_key", alias = "apikey")]
    api_key: Option<String>,
}

impl LineageSettings {
    /// Read the variables; `None` if they name no destination, or `OPENLINEAGE_DISABLED` is true.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for an invalid value. The message does not contain the value.
    pub(super) fn read(env: &BTreeMap<String, String>) -> Result<Option<Self>> {
        let get = |name: &str| {
            env.get(name)
                .map(String::as_str)
                .filter(|value| !value.is_empty())
        };
        if get("OPENLINEAGE_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let Some(transport) = transport(&get)? else {
            return Ok(None);
        };
        let namespace = get("OPENLINEAGE_NAMESPACE").unwrap_or(DEFAULT_NAMESPACE);
        Ok(Some(Self {
            transport,
            namespace: namespace.to_owned(),
            parent: parent(&get, namespace)?,
        }))
    }
}

fn transport<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<Option<LineageTransport>> {
    let name = "OPENLINEAGE__TRANSPORT__TYPE";
    match get(name) {
        Some("file") => {
            let name = "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH";
            let path = get(name).ok_or_else(|| wrong(name, "is not set"))?;
            Ok(Some(LineageTransport::File(PathBuf::from(path))))
        }
        Some("http") | None => http(get),
        Some("noop") => Ok(None),
        Some(_) => Err(wrong(name, "is neither http nor file")),
    }
}

fn http<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<Option<LineageTransport>> {
    let (name, url) = match get("OPENLINEAGE__TRANSPORT__URL") {
        Some(url) => ("OPENLINEAGE__TRANSPORT__URL", url),
        None => match get("OPENLINEAGE_URL") {
            Some(url) => ("OPENLINEAGE_URL", url),
            None => return Ok(None),
        },
    };
    let endpoint = get("OPENLINEAGE__TRANSPORT__ENDPOINT").or_else(|| get("OPENLINEAGE_ENDPOINT"));
    let endpoint = endpoint.unwrap_or(DEFAULT_ENDPOINT).trim_start_matches('/');
    let url = format!("{}/{endpoint}", url.trim_end_matches('/'));
    let url = Url::parse(&url)
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()));
    let url = url.ok_or_else(|| wrong(name, "is not an http:// or https:// URL"))?;
    let key = match get("OPENLINEAGE__TRANSPORT__AUTH") {
        Some(text) => {
            let parsed: Authentication = serde_json::from_str(text).map_err(|_| {
                wrong(
                    "OPENLINEAGE__TRANSPORT__AUTH",
                    "is not a JSON object with apiKey",
                )
            })?;
            parsed.api_key
        }
        None => get("OPENLINEAGE_API_KEY").map(str::to_owned),
    };
    Ok(Some(LineageTransport::Http {
        url,
        key: key.map(Secret::new),
    }))
}

/// Return the run that started this run: `OPENLINEAGE_PARENT_ID`, as Airflow's macro `lineage_parent_id` writes it, or else
/// the task of Airflow's context, with a derived run id.
fn parent<'a>(
    get: &impl Fn(&str) -> Option<&'a str>,
    namespace: &str,
) -> Result<Option<ParentRun>> {
    let name = "OPENLINEAGE_PARENT_ID";
    if let Some(id) = get(name) {
        let parts = id
            .rsplit_once('/')
            .and_then(|(job, run)| Some((job.rsplit_once('/')?, run)));
        let ((namespace, job), run) =
            parts.ok_or_else(|| wrong(name, "is not namespace/job/run"))?;
        if !is_uuid(run) {
            return Err(wrong(name, "does not end in a UUID"));
        }
        return Ok(Some(ParentRun {
            namespace: namespace.to_owned(),
            job: job.to_owned(),
            run_id: run.to_owned(),
        }));
    }
    let (Some(dag), Some(task), Some(run)) = (
        get("AIRFLOW_CTX_DAG_ID"),
        get("AIRFLOW_CTX_TASK_ID"),
        get("AIRFLOW_CTX_DAG_RUN_ID"),
    ) else {
        return Ok(None);
    };
    let attempt = get("AIRFLOW_CTX_TRY_NUMBER").unwrap_or("1");
    let job = format!("{dag}.{task}");
    let digest = sha256_hex(format!("{namespace}\n{job}\n{run}\n{attempt}"));
    Ok(Some(ParentRun {
        namespace: namespace.to_owned(),
        run_id: uuid(&digest, '8').ok_or_else(|| wrong("AIRFLOW_CTX_DAG_RUN_ID", "gives no id"))?,
        job,
    }))
}

/// Return a UUID of a version from the hexadecimal digits of `digest`; `None` if these are fewer than 32.
pub(super) fn uuid(digest: &str, version: char) -> Option<String> {
    let part = |from: usize, to: usize| digest.get(from..to);
    Some(format!(
        "{}-{}-{version}{}-8{}-{}",
        part(0, 8)?,
        part(8, 12)?,
        part(13, 16)?,
        part(17, 20)?,
        part(20, 32)?
    ))
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn wrong(name: &'static str, why: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("{name} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<LineageSettings>> {
        let env = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        LineageSettings::read(&env.collect())
    }

    const URL: (&str, &str) = ("OPENLINEAGE_URL", "http://localhost:5000/");

    #[test]
    fn without_a_place_or_when_disabled_nothing_is_sent() {
        assert!(read(&[("OPENLINEAGE_NAMESPACE", "n")]).unwrap().is_none());
        assert!(
            read(&[URL, ("OPENLINEAGE_DISABLED", "true")])
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn the_url_gets_the_endpoint_and_the_key_cannot_be_printed() {
        let settings = read(&[URL, ("OPENLINEAGE_API_KEY", "s3cr3t")])
            .unwrap()
            .unwrap();
        let LineageTransport::Http { url, key } = &settings.transport else {
            panic!("{settings:?}");
        };
        assert_eq!(url.as_str(), "http://localhost:5000/api/v1/lineage");
        assert_eq!(key.as_ref().unwrap().expose(), "s3cr3t");
        assert!(!format!("{settings:?}").contains("s3cr3t"));
    }

    #[test]
    fn the_transport_of_the_client_may_be_a_file() {
        let file = (
            "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH",
            "/tmp/lineage.ndjson",
        );
        let settings = read(&[("OPENLINEAGE__TRANSPORT__TYPE", "file"), file])
            .unwrap()
            .unwrap();
        assert!(
            matches!(settings.transport, LineageTransport::File(path) if path.ends_with("lineage.ndjson"))
        );
        let error = read(&[("OPENLINEAGE__TRANSPORT__TYPE", "kafka")]).unwrap_err();
        assert!(
            error.to_string().contains("neither http nor file"),
            "{error}"
        );
    }

    #[test]
    fn the_parent_is_the_run_of_airflows_macro_or_the_task_of_its_context() {
        let id = "0198b2a4-9f00-7000-8000-000000000001";
        let settings = read(&[
            URL,
            ("OPENLINEAGE_PARENT_ID", &format!("air/flow/dag.task/{id}")),
        ]);
        let parent = settings.unwrap().unwrap().parent.unwrap();
        assert_eq!(
            (parent.namespace.as_str(), parent.job.as_str()),
            ("air/flow", "dag.task")
        );
        assert_eq!(parent.run_id, id);

        let task = [
            URL,
            ("AIRFLOW_CTX_DAG_ID", "nightly"),
            ("AIRFLOW_CTX_TASK_ID", "bitlake"),
            ("AIRFLOW_CTX_DAG_RUN_ID", "scheduled__2026-11-24"),
        ];
        let first = read(&task).unwrap().unwrap().parent.unwrap();
        assert_eq!(first.job, "nightly.bitlake");
        assert!(is_uuid(&first.run_id), "{}", first.run_id);
        let again = [&task[..], &[("AIRFLOW_CTX_TRY_NUMBER", "2")]].concat();
        assert_ne!(
            read(&again).unwrap().unwrap().parent.unwrap().run_id,
            first.run_id
        );
    }
}
