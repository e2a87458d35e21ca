//! Packages of npm below `target/`, for tests.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::python::skip;

/// Install the packages of `tests/<name>/package-lock.json`, once for each version of that file, and return the folder
/// that has them; `None` where Node.js or a package cannot be had.
pub fn packages(name: &str) -> Option<PathBuf> {
    match install(name) {
        Ok(folder) => Some(folder),
        Err(why) => {
            skip(&format!("Node.js with the packages of tests/{name}: {why}"));
            None
        }
    }
}

fn install(name: &str) -> Result<PathBuf, String> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    // Two runs at the same time wait for each other here.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = std::fs::read_to_string(from.join("package-lock.json")).unwrap();
    let done = folder.join("installed.json");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    let output = Command::new("npm")
        .args(["ci", "--silent", "--no-audit", "--no-fund", "--prefix"])
        .arg(&folder)
        .output()
        .map_err(|error| format!("npm: {error}"))?;
    if !output.status.success() {
        return Err(format!("npm: {}", String::from_utf8_lossy(&output.stderr)));
    }
    std::fs::write(done, wanted).unwrap();
    Ok(folder)
}
