//! `check` through the program: each thing that can be wrong is named with its fix and its exit code.

use std::sync::Arc;
use std::time::Duration;

use bitlake_sandbox::{AcceptedCredentials, Builder, Fault, Sandbox};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::program::{Program, ProgramOutput};
use super::support::fixture;

pub(super) const ALL: &str = "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/*\"]\n";
pub(super) const API_TOKEN: &str =
    "auth = \"api-token\"\nemail = \"ci@acme.example\"\ntoken = { env = \"TOKEN\" }";
const ACCESS_TOKEN: &str = "auth = \"access-token\"\ntoken = { env = \"TOKEN\" }";
pub(super) const GOOD: (&str, &str) = ("TOKEN", "ATATT3xFfGF0good");

pub(super) fn for_the_good_token() -> Builder {
    let good = AcceptedCredentials::basic("ci@acme.example", GOOD.1);
    Sandbox::builder().demo().credentials(good)
}

/// `check` beside a sandbox, over all repositories of the demo.
async fn check(
    builder: Builder,
    connection: &str,
    env: &[(&str, &str)],
) -> (Sandbox, ProgramOutput) {
    let sandbox = builder.start(0).await.unwrap();
    let program = Program::beside(&sandbox, connection, ALL);
    let finished = program.run(&["check"], env).await;
    let shown = [finished.stdout.as_str(), &finished.stderr].concat();
    for (_, secret) in env {
        assert!(!shown.contains(&secret[4..]), "the token is shown: {shown}");
    }
    (sandbox, finished)
}

/// The line that begins with these words and the one below it, without the blanks that align them.
fn line(finished: &ProgramOutput, words: &str) -> String {
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = finished.stdout.lines().map(squeeze).collect();
    let at = lines.iter().position(|line| line.starts_with(words));
    let at =
        at.unwrap_or_else(|| panic!("no `{words}` in\n{}\n{}", finished.stdout, finished.stderr));
    lines[at..]
        .iter()
        .take(2)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successful_check_prints_its_requests() {
    let (sandbox, finished) = check(for_the_good_token(), API_TOKEN, &[GOOD]).await;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    line(
        &finished,
        "ok acme token environment variable TOKEN looks like an API token",
    );
    line(&finished, "ok acme clock");
    line(
        &finished,
        "absent acme/operations pipelines pipelines not enabled (404",
    );
    let few = line(&finished, "ok acme repositories 4 can be read");
    assert!(
        few.contains("the lists of 3 were requested (--all requests all of them, about 3"),
        "{few}"
    );
    let spent: u64 = sandbox.requests().values().sum();
    assert!(
        finished
            .stdout
            .ends_with(&format!("\nthis check took {spent} requests\n"))
    );
    assert!(spent < 40, "{spent}");
    assert!(!finished.stdout.contains("acme/platform"), "not asked for");
    let log = sandbox.request_log();
    let lists = log.iter().filter(|it| it.contains("/checkout-web/"));
    let sizes: Vec<_> = lists
        .map(|it| it.contains("pagelen=1&") || it.ends_with("pagelen=1"))
        .collect();
    assert_eq!(sizes, [true; 9], "{log:?}");

    let program = Program::beside(&sandbox, API_TOKEN, ALL);
    let all = program.run(&["check", "--all"], &[GOOD]).await;
    assert_eq!(all.code, 0, "{}", all.stdout);
    assert!(all.stdout.contains("acme/platform"), "{}", all.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_scope_is_named_once_with_its_effect_on_a_run() {
    let scopes = ["repository", "pullrequest", "workspace"];
    let scopes = scopes.map(|scope| format!("read:{scope}:bitbucket"));
    let (_, finished) = check(for_the_good_token().scopes(scopes), API_TOKEN, &[GOOD]).await;
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    // One reply's header tells, whatever the number of lists.
    let printed = line(
        &finished,
        "failed acme scopes environment variable TOKEN lacks scope read:pipeline:bitbucket",
    );
    assert!(
        printed.contains(
            "without which a run cannot read pipelines, deployments, environments\nfix: create the token"
        ),
        "{printed}"
    );
    let printed = line(&finished, "failed acme/checkout-api pipelines");
    assert!(
        printed
            .contains("lacks scope read:pipeline:bitbucket (403); a run records it as unavailable"),
        "{printed}"
    );
    let fix = "(environment variable TOKEN, which has read:repository:bitbucket read:pullrequest:bitbucket \
               read:workspace:bitbucket) with the additional scope read:pipeline:bitbucket";
    assert_eq!(
        finished.stdout.matches(fix).count(),
        1,
        "{}",
        finished.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_repository_is_not_blamed_on_a_scope_that_the_token_has() {
    let scopes = [
        "repository",
        "pullrequest",
        "workspace",
        "pipeline",
        "issue",
    ];
    let scopes = scopes.map(|scope| format!("read:{scope}:bitbucket"));
    let refusal = Fault::on("/checkout-api/pipelines/").status(403);
    let builder = for_the_good_token().scopes(scopes).faults([refusal]);
    let (_, finished) = check(builder, API_TOKEN, &[GOOD]).await;
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    assert!(
        !finished.stdout.contains("lacks scope"),
        "{}",
        finished.stdout
    );
    let printed = line(&finished, "failed acme/checkout-api pipelines");
    assert!(
        printed.contains("fix: give the token's account access to the repository"),
        "{printed}"
    );
    let others = line(&finished, "ok acme/checkout-web lists");
    assert!(others.contains("pipelines"), "{others}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_kind_is_recognised() {
    let env = [("TOKEN", "ATCTT3xFfGN0other")];
    let (_, finished) = check(for_the_good_token(), API_TOKEN, &env).await;
    assert_eq!(finished.code, 3);
    let printed = line(
        &finished,
        "failed acme token environment variable TOKEN looks like an access token",
    );
    assert!(
        printed.contains("fix: write auth = \"access-token\""),
        "{printed}"
    );
    line(
        &finished,
        "failed acme contact bitbucket does not accept the credentials",
    );
    let (_, finished) = check(for_the_good_token(), API_TOKEN, &[]).await;
    assert_eq!(finished.code, 3);
    line(
        &finished,
        "failed acme token the environment variable TOKEN is not set",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_tokens_the_bad_one_is_named() {
    let tokens = "auth = \"api-token\"\nemail = \"ci@acme.example\"\n\
                  token = [{ env = \"TOKEN\" }, { env = \"OLD\", expires = 2020-01-31 }]";
    let env = [GOOD, ("OLD", "ATATT3xFfGF0old")];
    let (_, finished) = check(for_the_good_token(), tokens, &env).await;
    assert_eq!(finished.code, 3);
    let printed = line(
        &finished,
        "failed acme token the credential of connection acme (environment variable OLD)",
    );
    assert!(printed.contains("expired on 2020-01-31"), "{printed}");
    let printed = line(&finished, "failed acme contact");
    assert!(
        printed.contains("fix: check environment variable OLD (user ci@acme.example)"),
        "{printed}"
    );
    line(&finished, "ok acme/checkout-api lists");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_further_token_reads_the_lists_of_one_repository_and_has_its_own_hour() {
    let tokens = "auth = \"api-token\"\nemail = \"ci@acme.example\"\ntoken = [{ env = \"TOKEN\" }, { env = \"MORE\" }]";
    let more = AcceptedCredentials::basic("ci@acme.example", "ATATT3xFfGF0more");
    let env = [GOOD, ("MORE", "ATATT3xFfGF0more")];
    let (_, finished) = check(for_the_good_token().credentials(more), tokens, &env).await;
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let lists = finished
        .stdout
        .matches("(with environment variable MORE)")
        .count();
    assert_eq!(
        lists, 2,
        "of a repository and its workspace: {}",
        finished.stdout
    );
    for variable in ["TOKEN", "MORE"] {
        let left = format!("requests are left this hour (environment variable {variable})");
        assert_eq!(
            finished.stdout.matches(&left).count(),
            1,
            "{}",
            finished.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_repository_is_named_with_its_effect_on_a_run() {
    let workspace = fixture("quirks/approval_activity");
    let sandbox = Sandbox::builder()
        .workspace_dir(workspace)
        .start(0)
        .await
        .unwrap();
    let include = "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/web\"]\n";
    let program = Program::beside(&sandbox, ACCESS_TOKEN, include);
    let env = [("TOKEN", "ATCTT3xFfGN0good")];
    assert_eq!(program.run(&["collect"], &env).await.code, 0);
    sandbox.inject(Fault::on("/repositories/acme/").status(404));
    let finished = program.run(&["check"], &env).await;
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    let printed = line(
        &finished,
        "failed acme/web repositories cannot be found any more",
    );
    assert!(
        printed.contains("a run marks its rows as stale\nfix: correct `include`"),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_workspace_and_the_removed_endpoint_are_errors() {
    let empty =
        Fault::on("/user/workspaces").body(json!({"values": [], "pagelen": 100, "size": 0}));
    let (_, finished) = check(for_the_good_token().faults([empty]), API_TOKEN, &[GOOD]).await;
    assert_eq!(finished.code, 3);
    line(
        &finished,
        "failed acme contact the credentials can list no workspace",
    );

    let gone = Fault::on("/repositories/acme?").status(410);
    let (_, finished) = check(for_the_good_token().faults([gone]), API_TOKEN, &[GOOD]).await;
    assert_eq!(finished.code, 1);
    line(
        &finished,
        "failed acme/* include bitbucket answers this to an empty workspace name: bitbucket has removed this",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_include_that_finds_nothing_is_shown_and_the_others_are_checked() {
    let sandbox = for_the_good_token().start(0).await.unwrap();
    let include = "[[repositories]]\nconnection = \"acme\"\n\
                   include = [\"acme/nothing-*\", \"acme/checkout-*\", \"acme/missing\"]\n";
    let program = Program::beside(&sandbox, API_TOKEN, include);
    let finished = program.run(&["check"], &[GOOD]).await;
    assert_eq!(finished.code, 2);
    line(
        &finished,
        "failed acme/nothing-* include `acme/nothing-*` matches none of the 4 repositories",
    );
    line(
        &finished,
        "failed acme/missing include cannot read `acme/missing`",
    );
    line(&finished, "ok acme/checkout-web lists");

    let empty = "[[repositories]]\nconnection = \"acme\"\ninclude = [\"/web\"]\n";
    program.configure(&sandbox.endpoint(), API_TOKEN, empty);
    let finished = program.run(&["check"], &[GOOD]).await;
    assert!(
        finished.code == 2 && finished.stderr.contains("write workspace/slug"),
        "{}",
        finished.stderr
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_clock_a_used_up_hour_and_a_lake_that_is_no_folder() {
    let date = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let refused = Fault::on("/user/workspaces").status(429);
    let builder = for_the_good_token().date(date);
    let (sandbox, finished) = check(builder, API_TOKEN, &[GOOD]).await;
    assert_eq!(finished.code, 0);
    let printed = line(&finished, "warn acme clock this machine's clock is 360");
    assert!(
        printed.contains("seconds ahead of Bitbucket's"),
        "{printed}"
    );

    sandbox.inject(refused);
    let program = Program::beside(&sandbox, API_TOKEN, ALL);
    let finished = program
        .run(&["check", "--log-format", "json"], &[GOOD])
        .await;
    assert_eq!(finished.code, 4);
    let object: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(object["exit_code"], 4);
    assert!(
        finished.stdout.contains("no requests are left"),
        "{}",
        finished.stdout
    );
    sandbox.clear_faults();

    std::fs::write(program.folder.path().join("lake-file"), "").unwrap();
    let lake = program.folder.path().join("lake-file");
    let finished = program
        .run(&["check", "--lake", lake.to_str().unwrap()], &[GOOD])
        .await;
    assert_eq!(finished.code, 5, "{}", finished.stdout);
    line(&finished, "failed lake");
    line(&finished, "ok acme/checkout-api lists");
}

/// A server that answers each connection by `answer`.
async fn server<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    port
}

/// Reads the head of a request and answers with `reply`.
async fn say(mut stream: TcpStream, reply: &str) -> TcpStream {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(reply.as_bytes()).await.unwrap();
    stream
}

/// `check` of Bitbucket itself through a proxy on this machine, and with these variables.
async fn through(proxy: u16, env: &[(&str, &str)]) -> ProgramOutput {
    let connection = format!("{ACCESS_TOKEN}\nproxy = \"http://127.0.0.1:{proxy}\"");
    let program = Program::new("https://api.bitbucket.org/2.0/", &connection, ALL);
    let env = [&[("TOKEN", "ATCTT3xFfGN0good")], env].concat();
    let finished = program.run(&["check"], &env).await;
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    finished
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusing_proxy_is_distinguished_from_an_unreachable_one() {
    let unknown = server(async |stream| {
        let _ = say(
            stream,
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
    });
    let unknown = unknown.await;
    let finished = through(unknown, &[]).await;
    let printed = line(
        &finished,
        &format!("failed acme contact the proxy 127.0.0.1:{unknown} does not accept its user"),
    );
    assert!(
        printed.contains("fix: remove `proxy` and set HTTPS_PROXY"),
        "{printed}"
    );

    let forbidden = server(async |stream| {
        let _ = say(
            stream,
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
    });
    let finished = through(forbidden.await, &[]).await;
    let printed = line(&finished, "failed acme contact the proxy");
    assert!(
        printed.contains("refuses connections to this host"),
        "{printed}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap().port();
    drop(listener);
    let finished = through(free, &[]).await;
    line(
        &finished,
        &format!("failed acme contact the proxy 127.0.0.1:{free} cannot be reached"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_reads_tls_is_recognised_and_can_be_trusted() {
    let pem = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls/self_signed.pem");
    let certificate = CertificateDer::from_pem_file(&pem).unwrap();
    let key = PrivateKeyDer::from_pem_file(&pem).unwrap();
    let tls = ServerConfig::builder().with_no_client_auth();
    let tls = TlsAcceptor::from(Arc::new(
        tls.with_single_cert(vec![certificate], key).unwrap(),
    ));
    let port = server(move |stream| {
        let tls = tls.clone();
        async move {
            let stream = say(stream, "HTTP/1.1 200 OK\r\n\r\n").await;
            let Ok(mut stream) = tls.accept(stream).await else {
                return;
            };
            let page = "<html><title>Sign in</title></html>";
            let reply = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            );
            let _ = stream.write_all(reply.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let port = port.await;
    let finished = through(port, &[]).await;
    let printed = line(
        &finished,
        &format!("failed acme contact the proxy 127.0.0.1:{port} inspects TLS"),
    );
    assert!(
        printed.contains("UnknownIssuer") && printed.contains("fix: set SSL_CERT_FILE"),
        "{printed}"
    );

    // As the fix says; what is behind it is then the page of a proxy.
    let finished = through(port, &[("SSL_CERT_FILE", pem.to_str().unwrap())]).await;
    let printed = line(
        &finished,
        &format!("failed acme contact the proxy 127.0.0.1:{port} answers in place of bitbucket"),
    );
    assert!(printed.contains("an HTML page \"Sign in\""), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_bitbucket_is_distinguished_from_one_of_the_network() {
    let broken = Fault::on("/user/workspaces").status(500);
    let (_, finished) = check(for_the_good_token().faults([broken]), API_TOKEN, &[GOOD]).await;
    assert_eq!(finished.code, 1);
    let printed = line(
        &finished,
        "failed acme contact bitbucket is reachable but fails",
    );
    assert!(
        printed.contains("fix: see https://bitbucket.status.atlassian.com"),
        "{printed}"
    );
    let down = Fault::on("/user/workspaces").status(503);
    let (_, finished) = check(for_the_good_token().faults([down]), API_TOKEN, &[GOOD]).await;
    line(&finished, "failed acme contact bitbucket is down");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let program = Program::new(&format!("http://{free}/2.0/"), API_TOKEN, ALL);
    let finished = program.run(&["check"], &[GOOD]).await;
    assert_eq!(finished.code, 1);
    line(
        &finished,
        "failed acme contact bitbucket cannot be reached: cannot connect to the host",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_the_configuration_are_read() {
    let sandbox = for_the_good_token().start(0).await.unwrap();
    let more = "[[table]]\nname = \"domain.incidents\"\nlocation = \"incidents.csv\"\nformat = \"csv\"\n\
                [[table]]\nname = \"domain.boards\"\nlocation = \"nowhere.csv\"\nformat = \"csv\"\n\
                [org]\nteams = \"teams.csv\"\nusers = \"users.csv\"\n";
    let program = Program::beside(&sandbox, API_TOKEN, &format!("{ALL}{more}"));
    let write = |name: &str, text: &str| {
        std::fs::write(program.folder.path().join(name), text).unwrap();
    };
    write("incidents.csv", "id,incident_key\ni1,OPS-1\n");
    write(
        "teams.csv",
        "Id,Name,Alias,ParentId,SortingIndex\nt1,Team,,,\n",
    );
    let finished = program.run(&["check"], &[GOOD]).await;
    assert_eq!(finished.code, 2, "{}{}", finished.stdout, finished.stderr);
    line(
        &finished,
        "ok configuration [[table]] domain.incidents 1 row in",
    );
    line(&finished, "ok configuration [org] teams 1 row in");
    let missing = line(&finished, "failed configuration [[table]] domain.boards");
    assert!(missing.contains("nowhere.csv"), "{missing}");
    let missing = line(&finished, "failed configuration [org] users");
    assert!(missing.contains("users.csv"), "{missing}");
}
