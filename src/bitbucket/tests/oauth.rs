//! A token endpoint that misbehaves.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// Serve each connection with `answer` after its request has arrived.
async fn raw<F: Future<Output = ()> + Send + 'static>(
    answer: impl Fn(usize, TcpStream) -> F + Send + 'static,
) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for n in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                let mut piece = [0; 1024];
                match stream.read(&mut piece).await {
                    Ok(length @ 1..) => head.extend_from_slice(&piece[..length]),
                    _ => break,
                }
            }
            tokio::spawn(answer(n, stream));
        }
    });
    Url::parse(&format!("http://{address}/token")).unwrap()
}

/// Create a client of `api` with tokens from `token_url`.
fn client(api: &Server, token_url: Url, adjust: impl FnOnce(&mut Limits)) -> Client {
    let mut options = api.options();
    options.credentials = Credentials::OauthClient {
        key: token("a-key-of-the-test"),
        secret: token("s3cr3t-of-the-test"),
        token_url,
    };
    adjust(&mut options.limits);
    Client::new(options).unwrap()
}

async fn api() -> Server {
    serve(|_, _| json(200, r#"{"values":[1]}"#)).await
}

#[tokio::test]
async fn a_token_with_any_lifetime_is_used() {
    let lifetimes = [
        "18446744073709551615",
        "1e300",
        "-1",
        "-9223372036854775808",
        "\"7200\"",
        "\"soon\"",
        "null",
        "[]",
        "3600.5",
    ];
    for lifetime in lifetimes {
        let granting = serve(move |_, _| {
            json(
                200,
                format!(r#"{{"access_token": "granted", "expires_in": {lifetime}}}"#),
            )
        })
        .await;
        let token_url = Url::parse(&granting.url("token")).unwrap();
        let api = api().await;
        let client = client(&api, token_url, |_| {});
        for _ in 0..2 {
            assert_eq!(records(&client, &endpoints::BRANCHES).await, ["1"]);
        }
        assert_eq!(granting.seen().len(), 1, "{lifetime}");
        assert_eq!(api.seen()[1].header("authorization"), "Bearer granted");
    }
}

#[tokio::test]
async fn a_reply_of_one_byte_at_a_time_times_out() {
    let token_url = raw(|_, mut stream| async move {
        let head = format!("{HEAD}content-length: 100000\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let api = api().await;
    let client = client(&api, token_url, |limits| {
        limits.reply_timeout = Duration::from_millis(300);
    });
    let started = Instant::now();
    let error = failure(&client, &endpoints::BRANCHES).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        error.message().contains("does not answer in time"),
        "{error}"
    );
    assert!(api.seen().is_empty());
}

#[tokio::test]
async fn a_body_above_the_size_limit_is_not_read_to_its_end() {
    let written: Arc<Mutex<usize>> = Arc::default();
    let count = written.clone();
    let token_url = raw(move |_, mut stream| {
        let count = count.clone();
        async move {
            let head = format!("{HEAD}content-length: 1500000000\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let piece = vec![b' '; 1 << 16];
            while stream.write_all(&piece).await.is_ok() {
                *count.lock().unwrap() += piece.len();
            }
        }
    })
    .await;
    let api = api().await;
    let error = failure(&client(&api, token_url, |_| {}), &endpoints::BRANCHES).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("too large"), "{error}");
    // The buffers of the sockets hold some more.
    assert!(*written.lock().unwrap() < 64 << 20);
}

#[tokio::test]
async fn a_web_page_or_an_invalid_token_is_reported() {
    let cases = [
        ("text/html", "<html><title>Sign in</title>", "a web page"),
        (
            "application/json",
            r#"{"access_token": ""}"#,
            "access_token",
        ),
        (
            "application/json",
            r#"{"access_token": "a\nb"}"#,
            "access_token",
        ),
        ("application/json", r#"{"access_token": 7}"#, "invalid type"),
        ("application/json", r#"{"token": "x"}"#, "access_token"),
        ("application/json", "", "EOF"),
    ];
    for (kind, body, reason) in cases {
        let granting = serve(move |_, _| ([("content-type", kind)], body)).await;
        let token_url = Url::parse(&granting.url("token")).unwrap();
        let api = api().await;
        let error = failure(&client(&api, token_url, |_| {}), &endpoints::BRANCHES).await;
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
}

#[tokio::test]
async fn transient_failures_of_the_token_endpoint_are_retried() {
    for status in [429, 500, 503] {
        let granting = serve(move |n, _| match n {
            0 => json(status, "oops"),
            _ => json(200, r#"{"access_token": "granted"}"#),
        })
        .await;
        let token_url = Url::parse(&granting.url("token")).unwrap();
        let client = client(&api().await, token_url, |_| {});
        assert_eq!(records(&client, &endpoints::BRANCHES).await, ["1"]);
    }
}

#[tokio::test]
async fn refused_credentials_are_not_repeated_in_the_error() {
    let body = r#"{"error": "invalid_client", "error_description": "a-key-of-the-test:s3cr3t\u002dof-the\u002Dtest"}"#;
    for (status, kind) in [
        (400, ErrorKind::Credentials),
        (401, ErrorKind::Credentials),
        (302, ErrorKind::Unreachable),
        (503, ErrorKind::Unreachable),
        (429, ErrorKind::Quota),
    ] {
        let granting = serve(move |_, _| json(status, body)).await;
        let token_url = Url::parse(&granting.url("token")).unwrap();
        let error = failure(
            &client(&api().await, token_url, |_| {}),
            &endpoints::BRANCHES,
        )
        .await;
        assert_eq!(error.kind(), kind, "{error}");
        let shown = error.to_string();
        assert!(
            shown.contains("***:***") && !shown.contains("s3cr3t"),
            "{shown}"
        );
    }
}
