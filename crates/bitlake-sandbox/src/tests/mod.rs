//! Each behaviour of the sandbox, tested over HTTP.

mod access;
mod faults;
mod lists;
mod paging;
mod pull_requests;
mod quirks;
mod service;
mod synthetic_workspace;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Builder, Sandbox};

/// A workspace of hand-written files.
struct Fixture(TempDir);

impl Fixture {
    /// Create the private repository `acme/web` without records.
    fn new() -> Self {
        let fixture = Self(TempDir::new().unwrap());
        fixture.repository("web", json!({}))
    }

    /// Add or change a repository.
    fn repository(self, slug: &str, more: Value) -> Self {
        let mut record = json!({
            "type": "repository", "uuid": format!("{{{slug}}}"), "slug": slug, "name": slug,
            "full_name": format!("acme/{slug}"), "is_private": true, "has_issues": true,
            "created_on": "2026-01-01T00:00:00+00:00",
            "workspace": {"type": "workspace", "uuid": "{acme}", "name": "Acme", "slug": "acme"},
        });
        let Value::Object(record_members) = &mut record else {
            unreachable!()
        };
        record_members.extend(more.as_object().cloned().unwrap());
        self.file(&format!("acme/{slug}/repository.json"), &record.to_string())
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Set the records of one entity of `acme/web`.
    fn records(self, table: &str, records: impl IntoIterator<Item = Value>) -> Self {
        let lines: Vec<String> = records
            .into_iter()
            .map(|record| record.to_string())
            .collect();
        self.file(&format!("acme/web/{table}.jsonl"), &lines.join("\n"))
    }

    fn builder(&self) -> Builder {
        Sandbox::builder().workspace_dir(self.0.path())
    }

    async fn start(&self) -> Sandbox {
        self.builder().start(0).await.unwrap()
    }

    /// Start the sandbox for a test that does not change the folder afterwards.
    async fn start_owned(self) -> Sandbox {
        self.start().await
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// Return one member of every record.
    fn each(&self, member: &str) -> Vec<Value> {
        let body = self.json();
        let values = body["values"]
            .as_array()
            .unwrap_or_else(|| panic!("no list: {body}"));
        values.iter().map(|value| value[member].clone()).collect()
    }

    fn ids(&self) -> Vec<i64> {
        self.each("id")
            .iter()
            .map(|id| id.as_i64().unwrap())
            .collect()
    }

    fn next(&self) -> Option<String> {
        Some(self.json().get("next")?.as_str()?.to_owned())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

async fn receive(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// Request a path below the endpoint, or a whole URL.
async fn get(sandbox: &Sandbox, path: &str) -> Answer {
    let url = if path.starts_with("http") {
        path.to_owned()
    } else {
        format!("{}{path}", sandbox.endpoint())
    };
    receive(reqwest::Client::new().get(url)).await
}

/// Request a path below `acme/web`.
async fn web(sandbox: &Sandbox, path: &str) -> Answer {
    get(sandbox, &format!("repositories/acme/web{path}")).await
}

/// Follow `next` to the end; return the pages and every URL after the first.
async fn follow(sandbox: &Sandbox, path: &str) -> (Vec<Answer>, Vec<String>) {
    let mut pages = vec![web(sandbox, path).await];
    let mut links = Vec::new();
    while let Some(next) = pages.last().unwrap().next() {
        pages.push(get(sandbox, &next).await);
        links.push(next);
        assert!(links.len() < 50, "the follow does not end");
    }
    (pages, links)
}

/// Return a hash of forty characters that begins with `name`.
fn hash(name: &str) -> String {
    format!("{name:0<40}")
}

fn commit(name: &str, parents: &[&str]) -> Value {
    let parents: Vec<Value> = parents
        .iter()
        .map(|parent| json!({"hash": hash(parent)}))
        .collect();
    json!({
        "type": "commit", "hash": hash(name), "date": "2026-01-01T00:00:00+00:00", "parents": parents,
        "message": name, "participants": [],
    })
}

fn reference(kind: &str, name: &str, target: &str) -> Value {
    json!({"type": kind, "name": name, "target": {"type": "commit", "hash": hash(target)}})
}
