//! The program that stays up: it runs, waits, ends when asked to, and the next one goes on.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bitlake::sandbox::{Fault, Sandbox};
use tempfile::TempDir;

use super::support::fixture;

/// Longer than anything takes; a test that hangs should fail.
const PATIENCE: Duration = Duration::from_secs(60);

struct Ground {
    folder: TempDir,
    sandbox: Sandbox,
}

impl Ground {
    async fn new() -> Self {
        let workspace = fixture("quirks/approval_activity");
        let sandbox = Sandbox::builder().workspace_dir(workspace).start(0).await;
        let ground = Self {
            folder: tempfile::tempdir().unwrap(),
            sandbox: sandbox.unwrap(),
        };
        ground.configure("cron = \"0 2 1 1 *\"");
        ground
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("bitlake.toml")
    }

    fn configure(&self, sync: &str) {
        let text = format!(
            "[lake]\nurl = \"lake\"\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{}\"\n\
             auth = \"access-token\"\ntoken = {{ env = \"TOKEN\", expires = 2020-01-31 }}\n\
             [[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/web\"]\n[sync]\nsince = \"2026-01-01\"\n{sync}\n",
            self.sandbox.endpoint()
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitlake"));
        command
            .args(["--config", self.config().to_str().unwrap()])
            .args(args)
            .env("TOKEN", "t")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    async fn exit_code(&self, args: &[&str]) -> (i32, String) {
        let mut command = self.command(args);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let shown = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        (output.status.code().unwrap(), shown)
    }
}

/// A `schedule` that is up.
struct Running {
    child: Child,
    log: Receiver<String>,
}

impl Running {
    fn start(ground: &Ground, args: &[&str]) -> Self {
        let mut child = ground
            .command(&[&["schedule"], args].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { child, log }
    }

    /// The first line of the log, from here on, that holds `text`.
    fn says(&self, text: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("`{text}` is never said:\n{}", seen.join("\n"));
    }

    /// SIGTERM, and the exit code.
    fn end(mut self) -> i32 {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code().unwrap()
    }
}

fn reports(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("lake/_bitlake/runs")).map_or(0, Iterator::count)
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_waits_and_ends_with_nothing_lost() {
    let ground = Ground::new().await;
    let (code, shown) = ground.exit_code(&["status", "--max-age", "26h"]).await;
    assert_eq!(code, 2, "{shown}");
    ground.configure("");
    let (code, shown) = ground.exit_code(&["schedule"]).await;
    assert!(
        code == 2 && shown.contains("there is no schedule"),
        "{shown}"
    );
    ground.configure("cron = \"0 2 1 1 *\"");

    let up = Running::start(&ground, &["--now"]);
    assert!(up.says("the run has ended").contains("exit_code=0"));
    let next = up.says("the next run");
    assert!(
        next.contains("-01-01T02:00:00Z") && next.contains("why=its date"),
        "{next}"
    );
    assert_eq!(up.end(), 0, "between runs");
    assert_eq!(reports(ground.folder.path()), 1);

    let (code, shown) = ground.exit_code(&["status", "--max-age", "26h"]).await;
    assert!(
        code == 0 && shown.starts_with("fresh: the last publish ended at "),
        "{shown}"
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (code, shown) = ground.exit_code(&["status", "--max-age", "1s"]).await;
    assert!(
        code == 1 && shown.starts_with("stale: the last publish ended at "),
        "{shown}"
    );
    let (_, shown) = ground.exit_code(&["status"]).await;
    let expiry = "the credential of connection acme (environment variable TOKEN) expired on 2020-01-31: renew it";
    assert!(shown.contains(expiry), "{shown}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_under_way_is_saved_and_gone_on_with_at_the_next_start() {
    let ground = Ground::new().await;
    let slow = Fault::on("/pullrequests?")
        .delay(Duration::from_secs(2))
        .times(1);
    ground.sandbox.inject(slow);
    let up = Running::start(&ground, &["--now"]);
    while !ground
        .sandbox
        .request_log()
        .iter()
        .any(|it| it.contains("/pullrequests?"))
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(up.end(), 4, "during a run");
    assert_eq!(reports(ground.folder.path()), 1);

    let up = Running::start(&ground, &[]);
    assert!(
        up.says("the next run")
            .contains("why=the last run has more to do")
    );
    assert!(up.says("the run has ended").contains("exit_code=0"));
    assert_eq!(up.end(), 0);
}
