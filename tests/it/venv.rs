//! Virtual environments of Python below `target/`, for tests and benchmarks.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Make the environment with the packages of `<of>/requirements.txt`, once for each version of the requirements, and return
/// its interpreter. `of` is a folder of the package, such as `tests/engines`.
///
/// # Errors
/// The last line of what failed, where Python or a package cannot be had.
pub(crate) fn environment(of: &Path) -> Result<PathBuf, String> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(of)
        .join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(of.file_name().unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    // Two runs at the same time wait for each other here.
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
        false => Err(String::from_utf8_lossy(&output.stderr)
            .trim()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned()),
    }
}
