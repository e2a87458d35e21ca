//! Runs programs, and measures what each of them cost: each in a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

#[path = "../../tests/it/venv.rs"]
mod venv;

const MIB: f64 = (1 << 20) as f64;

/// What a process cost.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Cost {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds of all cores.
    pub(crate) cpu: f64,
    /// The largest resident size in bytes.
    peak: f64,
}

impl Cost {
    /// Return the largest resident size in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.peak / MIB
    }
}

/// Return the interpreter with the packages of `<of>/requirements.txt`.
pub(crate) fn python(of: &str) -> PathBuf {
    venv::environment(Path::new(of))
        .unwrap_or_else(|why| panic!("Python 3 with the packages of {of}: {why}"))
}

/// Run a command, and return what it printed and what it cost. Its errors and logs go to the terminal.
pub(crate) fn measured(command: &mut Command, folder: &Path) -> (String, Cost) {
    let report = folder.join("cost.json");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/measure.py");
    let mut measuring = Command::new("python3");
    measuring.arg(script).arg(&report);
    measuring
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => measuring.env(name, value),
            None => measuring.env_remove(name),
        };
    }
    let output = measuring.stderr(Stdio::inherit()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?} failed\n{printed}");
    let cost = std::fs::read(&report).unwrap();
    (printed, serde_json::from_slice(&cost).unwrap())
}

/// Return the machine and the profile that figures are of.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|it| it.parse::<f64>().ok());
    let memory = kib.map_or_else(String::new, |kib| {
        format!(", {:.0} GiB", kib * 1024.0 / MIB / 1024.0)
    });
    format!(
        "{cores} cores{memory}, {} {}, {} profile",
        std::env::consts::OS,
        std::env::consts::ARCH,
        profile()
    )
}

/// Return the profile that the benchmark was compiled in.
pub(crate) fn profile() -> &'static str {
    match cfg!(debug_assertions) {
        true => "dev",
        false => "release",
    }
}
