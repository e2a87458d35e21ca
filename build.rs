//! `schemas/` and `queries/` are compiled into the binary. The macro that embeds them notices a
//! changed file but not a new one; this notices both.

use std::path::Path;

fn main() {
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
