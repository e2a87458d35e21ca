//! Python's engines and libraries, which share no code with ours, as witnesses.
//!
//! `tests/<name>/run.py` runs in a virtual environment of `tests/<name>/requirements.txt` below `target/`. Where that
//! cannot be had, a test says that it was skipped, except on CI.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::demo::text;
use super::venv::environment;

/// With this exit code a script says that the machine lacks what it prints.
const MISSING: i32 = 77;

/// A script and the interpreter that has its packages.
pub struct Python {
    script: PathBuf,
    interpreter: PathBuf,
}

impl Python {
    /// `None` where it cannot be had.
    pub fn with(name: &str) -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        Some(Self {
            script: folder.join(name).join("run.py"),
            interpreter: interpreter(name)?,
        })
    }

    /// Runs a command of the script on a plan, and fails with what it prints.
    pub fn run(&self, command: &str, plan: &Value, folder: &Path) {
        let file = folder.join("plan.json");
        std::fs::write(&file, plan.to_string()).unwrap();
        let output = Command::new(&self.interpreter)
            .args([self.script.as_os_str(), command.as_ref(), file.as_os_str()])
            .output()
            .unwrap();
        if output.status.code() == Some(MISSING) {
            return skip(text(&output.stdout).trim());
        }
        assert!(
            output.status.success(),
            "{command}\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

/// The interpreter with the packages of `tests/<name>/requirements.txt`; `None` where it cannot be had.
pub fn interpreter(name: &str) -> Option<PathBuf> {
    match environment(&Path::new("tests").join(name)) {
        Ok(interpreter) => Some(interpreter),
        Err(why) => {
            skip(&format!(
                "Python 3 with the packages of tests/{name}: {why}"
            ));
            None
        }
    }
}

/// Says what a test lacks; on CI nothing may be lacking.
pub fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI needs {what}");
    eprintln!("skipped, for want of {what}");
}
