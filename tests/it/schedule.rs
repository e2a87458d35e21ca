//! The program that stays up: it runs, waits, ends when asked to, and the next one goes on.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bitlake_sandbox::{Fault, Sandbox};

use super::program::Program;
use super::support::fixture;

/// Longer than anything takes; a test that hangs should fail.
const PATIENCE: Duration = Duration::from_secs(300);

const NEW_YEAR: &str = "cron = \"0 2 1 1 *\"";

async fn ground() -> (Sandbox, Program) {
    let workspace = fixture("quirks/approval_activity");
    let sandbox = Sandbox::builder().workspace_dir(workspace).start(0).await;
    let sandbox = sandbox.unwrap();
    let program = Program::beside(&sandbox, CONNECTION, &sections(NEW_YEAR));
    (sandbox, program)
}

const CONNECTION: &str =
    "auth = \"access-token\"\ntoken = { env = \"TOKEN\", expires = 2020-01-31 }";

fn sections(sync: &str) -> String {
    format!(
        "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/web\"]\n[sync]\nsince = \"2026-01-01\"\n{sync}"
    )
}

const TOKEN: [(&str, &str); 1] = [("TOKEN", "t")];

/// A `schedule` that is up.
struct Running {
    child: Child,
    log: Receiver<String>,
}

impl Running {
    fn start(program: &Program, args: &[&str]) -> Self {
        let mut child = program
            .command(&[&["schedule"], args].concat())
            .envs(TOKEN)
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

fn reports(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("lake/_bitlake/runs")).unwrap();
    files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_waits_and_ends_with_nothing_lost() {
    let (sandbox, program) = ground().await;
    let probe = ["status", "--max-age", "26h"];
    assert_eq!(program.run(&probe, &[]).await.code, 1, "there is no lake");
    program.configure(&sandbox.endpoint(), CONNECTION, &sections(""));
    let refused = program.run(&["schedule"], &TOKEN).await;
    assert!(refused.code == 2 && refused.stderr.contains("there is no schedule"));
    program.configure(&sandbox.endpoint(), CONNECTION, &sections(NEW_YEAR));

    let up = Running::start(&program, &["--now"]);
    up.says("run started");
    assert!(up.says("run finished").contains("exit_code=0"));
    let next = up.says("next run scheduled");
    assert!(
        next.contains("-01-01T02:00:00Z") && next.contains("why=scheduled"),
        "{next}"
    );
    assert_eq!(up.end(), 0, "between runs");
    assert_eq!(reports(program.folder.path()).len(), 1);

    let fresh = program.run(&probe, &[]).await;
    assert!(
        fresh.code == 0
            && fresh
                .stdout
                .starts_with("fresh: the last publish ended at ")
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let stale = program.run(&["status", "--max-age", "1s"], &[]).await;
    assert!(
        stale.code == 1
            && stale
                .stdout
                .starts_with("stale: the last publish ended at ")
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_under_way_is_saved_and_gone_on_with_at_the_next_start() {
    let (sandbox, program) = ground().await;
    let slow = Fault::on("/pullrequests?")
        .delay(Duration::from_secs(2))
        .times(1);
    sandbox.inject(slow);
    let up = Running::start(&program, &["--now"]);
    while !sandbox
        .request_log()
        .iter()
        .any(|it| it.contains("/pullrequests?"))
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(up.end(), 4, "during a run");
    let probe = program.run(&["status", "--max-age", "26h"], &[]).await;
    assert_eq!(
        (probe.code, probe.stdout.as_str()),
        (1, "stale: no run has published yet\n"),
        "{}",
        probe.stderr
    );

    let up = Running::start(&program, &[]);
    assert!(
        up.says("next run scheduled")
            .contains("why=the last run is unfinished")
    );
    assert!(up.says("run finished").contains("exit_code=0"));
    assert_eq!(up.end(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_credential_is_named_by_the_log_the_report_and_status() {
    let (_sandbox, program) = ground().await;
    let expiry = "the credential of connection acme (environment variable TOKEN) expired on 2020-01-31: renew it";
    let run = program.run(&["collect"], &TOKEN).await;
    assert!(
        run.code == 0 && run.stderr.contains(expiry),
        "{}",
        run.stderr
    );
    let report = &reports(program.folder.path())[0];
    assert!(report.contains(r#""expires": "2020-01-31""#), "{report}");
    let status = program.run(&["status"], &[]).await;
    assert!(status.stdout.contains(expiry), "{}", status.stdout);
}
