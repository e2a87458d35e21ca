//! Put figures into the documentation.

use std::path::Path;

/// Replace the block `name` of the page on performance, between the comments `<!-- name -->` and `<!-- /name -->`.
pub(crate) fn replace(name: &str, block: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/performance.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&start).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    std::fs::write(
        &path,
        format!("{before}{start}\n{}\n\n{end}{after}", block.trim()),
    )
    .unwrap();
}
