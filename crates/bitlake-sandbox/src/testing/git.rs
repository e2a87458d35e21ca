//! Git over smart HTTP, for clients that read commits from clones: git's own HTTP server behind the sandbox's credentials,
//! visibility and faults.
//!
//! ```text
//! GET  /<workspace>/<repository>.git/info/refs?service=git-upload-pack ─┐
//! POST /<workspace>/<repository>.git/git-upload-pack ───────────────────┴▶ Basic, scope ─▶ `git http-backend` (CGI)
//! ```
//!
//! Git has its own user names: `x-bitbucket-api-token-auth` for API tokens, `x-token-auth` for access tokens and tokens of
//! OAuth consumers. The API's user names are refused, as in Bitbucket.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use axum::http::request::Parts;
use bytes::Bytes;

use crate::auth::Caller;
use crate::errors::{self, SandboxReply};
use crate::routes::READ_REPOSITORY;
use crate::state::ServerState;

/// Return workspace and repository of a git path.
pub(crate) fn target(path: &str) -> Option<(&str, &str)> {
    let (workspace, rest) = path.strip_prefix('/')?.split_once('/')?;
    let (slug, rest) = rest.split_once(".git/")?;
    let known = ["info/refs", "git-upload-pack"].contains(&rest);
    (known && !slug.contains('/')).then_some((workspace, slug))
}

/// Answer a git request from `folder`, which contains `<workspace>/<repository>.git`.
pub(crate) async fn answer(
    state: &ServerState,
    folder: &Path,
    head: &Parts,
    body: Bytes,
) -> SandboxReply {
    let refused = |status, text: &str| {
        SandboxReply::text(status, text)
            .header("www-authenticate", "Basic realm=\"Bitbucket.org HTTP\"")
    };
    let Some((workspace, slug)) = target(head.uri.path()) else {
        return errors::no_such_url();
    };
    let authorization = text(head, "authorization");
    let Some(caller) = state.access.git_caller(authorization) else {
        return refused(401, "Invalid credentials");
    };
    if let Some(scope) = &READ_REPOSITORY
        && state.access.check_scope(scope).is_err()
    {
        return refused(
            403,
            "Your credentials lack one or more required privilege scopes.",
        );
    }
    let world = state.fixtures();
    let mut workspaces = world.workspaces.iter();
    let found = workspaces.find(|known| known.slug == workspace);
    let mut repositories = found.iter().flat_map(|workspace| &workspace.repositories);
    let found = repositories.find(|known| known.slug == slug);
    match (found, caller) {
        (None, _) => return SandboxReply::text(404, "Repository not found"),
        (Some(repository), Caller::Anonymous) if repository.is_private() => {
            return refused(401, "You must log in");
        }
        _ => {}
    }
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env(
            "GIT_PROTOCOL",
            text(head, "git-protocol").unwrap_or_default(),
        )
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "uploadpack.allowFilter")
        .env("GIT_CONFIG_VALUE_0", "true")
        .env("GIT_CONFIG_KEY_1", "safe.directory")
        .env("GIT_CONFIG_VALUE_1", "*")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env(
            "CONTENT_TYPE",
            text(head, "content-type").unwrap_or_default(),
        )
        .env("CONTENT_LENGTH", body.len().to_string())
        .env(
            "HTTP_CONTENT_ENCODING",
            text(head, "content-encoding").unwrap_or_default(),
        );
    let run = move || run(command, &body);
    match tokio::task::spawn_blocking(run)
        .await
        .map_err(io::Error::other)
    {
        Ok(Ok(output)) => reply(&output),
        Ok(Err(error)) | Err(error) => SandboxReply::text(500, &error.to_string()),
    }
}

fn text<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}

fn run(mut command: Command, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Git reads all of its input before it answers, or none.
        let _ = stdin.write_all(body);
    }
    Ok(child.wait_with_output()?.stdout)
}

/// Parse a CGI response, whose `Status` is not an HTTP header.
fn reply(output: &[u8]) -> SandboxReply {
    const END: &[u8] = b"\r\n\r\n";
    let end = output.windows(END.len()).position(|bytes| bytes == END);
    let (head, body) = output.split_at(end.unwrap_or(0));
    let mut reply = SandboxReply {
        status: 200,
        headers: Vec::new(),
        body: body.get(END.len()..).unwrap_or_default().to_vec(),
    };
    let head = String::from_utf8_lossy(head);
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        match name {
            "Status" => reply.status = value.split(' ').find_map(|n| n.parse().ok()).unwrap_or(500),
            _ => reply.set_header(&name.to_ascii_lowercase(), value),
        }
    }
    reply
}
