//! `schemas/` and `queries/` are compiled into the binary. The macro that embeds them notices a
//! changed file but not a new one; this notices both.
//!
//! Tables are kept as long as the same code would make them again. The digest of all code
//! distinguishes builds, also those of one version.

use std::hash::Hasher;
use std::path::Path;

fn main() {
    let mut code = Vec::new();
    for root in ["src", "crates/bitlake-graph/src"] {
        println!("cargo:rerun-if-changed={root}");
        list(Path::new(root), &mut code);
    }
    println!("cargo:rerun-if-changed=Cargo.lock");
    code.push("Cargo.lock".to_owned());
    println!("cargo:rustc-env=BITLAKE_BUILD={}", digest(code));
    let mut files = Vec::new();
    for root in ["schemas", "queries"] {
        println!("cargo:rerun-if-changed={root}");
        list(Path::new(root), &mut files);
    }
    files.sort();
    println!("cargo:rustc-env=BITLAKE_EMBEDDED={}", files.join(","));
}

fn list(folder: &Path, files: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            println!("cargo:rerun-if-changed={}", path.display());
            list(&path, files);
        } else {
            files.push(path.display().to_string());
        }
    }
}

/// Return a digest of the files' content.
fn digest(mut files: Vec<String>) -> String {
    files.sort();
    let mut hash = std::hash::DefaultHasher::new();
    for file in files {
        hash.write(&std::fs::read(file).unwrap_or_default());
    }
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    format!("{version}-{:016x}", hash.finish())
}
