//! Programs of npm below `target/`, for tests.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::python::skip;

/// Install the packages of `tests/<name>/package-lock.json`, once for each version of the lock file, and return the path of
/// their program `program`; `None` where it cannot be had.
pub fn program(name: &str, program: &str) -> Option<PathBuf> {
    let folder = packages(name)?;
    Some(folder.join("node_modules/.bin").join(program))
}

/// As [`program`], but return the folder of the packages.
pub fn packages(name: &str) -> Option<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("npm-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    // Two runs at the same time wait for each other here.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = std::fs::read(from.join("package-lock.json")).unwrap();
    let done = folder.join("installed.json");
    if std::fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return Some(folder);
    }
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let installed = Command::new(npm)
        .args(["ci", "--silent", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .output();
    if !installed.is_ok_and(|output| output.status.success()) {
        skip(&format!("npm with the packages of tests/{name}"));
        return None;
    }
    std::fs::write(done, wanted).unwrap();
    Some(folder)
}
