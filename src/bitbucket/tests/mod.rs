//! Tests of the client against small servers, each of which misbehaves in one way.

mod failures;
mod fallbacks;
mod fuzz;
mod identities;
mod oauth;
mod paging;
mod rate_limiter;
mod rolling_window;
mod untrusted_replies;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use reqwest::Url;

use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::{Masker, Secret};

#[derive(Clone, Debug)]
struct Seen {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
}

impl Seen {
    fn get(&self, key: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }
}

struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Serve `answer(n, request)`, where `n` counts requests from 0.
async fn serve<R: IntoResponse>(
    answer: impl Fn(usize, &Seen) -> R + Clone + Send + Sync + 'static,
) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let log = seen.clone();
    let app = Router::new().fallback(move |request: Request| {
        let query = request.uri().query().unwrap_or_default();
        let uri = format!("http://{address}/?{query}");
        let request = Seen {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: Url::parse(&uri)
                .unwrap()
                .query_pairs()
                .into_owned()
                .collect(),
            headers: request.headers().clone(),
        };
        let n = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        std::future::ready(answer(n, &request).into_response())
    });
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server { address, seen }
}

impl Server {
    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    fn options(&self) -> ClientOptions {
        ClientOptions {
            connection: "acme".to_owned(),
            connection_id: 1,
            endpoint: Url::parse(&self.url("2.0/")).unwrap(),
            credentials: Credentials::ApiToken {
                email: "ci@acme.example".to_owned(),
                tokens: vec![token("s3cr3t")],
            },
            proxy: None,
            requests_per_hour: None,
            limits: Limits {
                first_wait: Duration::from_millis(1),
                rate_limit_first_wait: Duration::from_millis(300),
                ..Limits::default()
            },
            budgets: Budgets::default(),
            masker: Masker::default(),
        }
    }

    fn client(&self) -> Client {
        Client::new(self.options()).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn token(secret: &str) -> Token {
    Token {
        secret: Secret::new(secret.to_owned()),
        origin: format!("environment variable {}", secret.to_uppercase()),
    }
}

fn json(status: u16, body: impl Into<String>) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], body.into()).into_response()
}

fn web() -> ApiTarget {
    ApiTarget::full_name("acme/web")
}

/// Read a list to its end. Return the records as text, or the reason when the list is unavailable.
async fn all(pages: &mut Pages) -> Result<std::result::Result<Vec<String>, Unavailable>> {
    let mut records = Vec::new();
    loop {
        match pages.next().await? {
            NextPage::Page(page) => records.extend(page.values.iter().map(|v| v.get().to_owned())),
            NextPage::End => return Ok(Ok(records)),
            NextPage::Unavailable(reason) => return Ok(Err(reason)),
        }
    }
}

async fn records(client: &Client, endpoint: &'static Endpoint) -> Vec<String> {
    all(&mut client.list(endpoint, web().parent("{p}")))
        .await
        .unwrap()
        .unwrap()
}

async fn failure(client: &Client, endpoint: &'static Endpoint) -> Error {
    all(&mut client.list(endpoint, web())).await.unwrap_err()
}
