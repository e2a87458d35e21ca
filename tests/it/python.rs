//! Python's engines and libraries, which share no code with ours, as witnesses.
//!
//! `tests/<name>/run.py` runs in a virtual environment of `tests/<name>/requirements.txt` below `target/`. Where that
//! cannot be had, a test says that it was skipped, except on CI.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::demo::text;

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
    match environment(name) {
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

/// Makes the virtual environment once for each version of the requirements.
fn environment(name: &str) -> Result<PathBuf, String> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
        .join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    // Two test runs at the same time wait for each other here.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let environment = folder.join("venv");
    let python = environment.join(match cfg!(windows) {
        true => "Scripts/python.exe",
        false => "bin/python",
    });
    let done = environment.join("installed.txt");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let make = |program: &Path, arguments: &[&str], what: &str| {
        let output = Command::new(program)
            .args(arguments)
            .output()
            .map_err(|error| format!("{what}: {error}"))?;
        succeeded(&output).map_err(|error| format!("{what}: {error}"))
    };
    let python3 = Path::new(if cfg!(windows) { "python" } else { "python3" });
    let at = environment.to_str().unwrap();
    make(python3, &["-m", "venv", "--clear", at], "`python3 -m venv`")?;
    let requirements = requirements.to_str().unwrap();
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries=2",
        "--timeout=10",
        "-r",
        requirements,
    ];
    make(&python, &install, "pip")?;
    std::fs::write(done, wanted).unwrap();
    Ok(python)
}

fn succeeded(output: &Output) -> Result<(), String> {
    match output.status.success() {
        true => Ok(()),
        false => Err(text(&output.stderr)
            .trim()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned()),
    }
}
