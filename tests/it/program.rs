//! The program beside a sandbox, with a configuration in a folder of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use bitlake_sandbox::Sandbox;
use tempfile::TempDir;

use super::demo::text;

pub struct Program {
    pub folder: TempDir,
}

/// What it left behind.
pub struct ProgramOutput {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    /// `connection`: the keys of the one connection besides its id and name; `more`: further sections.
    pub fn new(endpoint: &str, connection: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Self { folder };
        program.configure(endpoint, connection, more);
        program
    }

    pub fn beside(sandbox: &Sandbox, connection: &str, more: &str) -> Self {
        Self::new(&sandbox.endpoint(), connection, more)
    }

    pub fn configure(&self, endpoint: &str, connection: &str, more: &str) {
        let text = format!(
            "[lake]\nurl = \"lake\"\n[[connection]]\nid = 1\nname = \"acme\"\nendpoint = \"{endpoint}\"\n{connection}\n{more}\n"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("bitlake.toml")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitlake"));
        command
            .args(["--config", self.config().to_str().unwrap()])
            .args(args)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end, with these variables.
    pub async fn run(&self, args: &[&str], env: &[(&str, &str)]) -> ProgramOutput {
        let mut command = self.command(args);
        command.envs(env.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        ProgramOutput {
            code: output.status.code().unwrap(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}
