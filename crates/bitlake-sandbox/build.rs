//! `fixtures/demo` is compiled into the crate. The macro that embeds it notices a changed file but not a new one; the
//! folders listed here notice both.

use std::path::Path;

fn main() {
    watch(Path::new("fixtures/demo"));
}

fn watch(folder: &Path) {
    println!("cargo:rerun-if-changed={}", folder.display());
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
    {
        watch(&path);
    }
}
