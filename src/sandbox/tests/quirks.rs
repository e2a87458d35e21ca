//! Every folder of `fixtures/quirks` is a workspace that loads and answers.

use std::path::Path;

use super::*;

#[tokio::test]
async fn every_quirk_folder_loads_and_says_what_it_is() {
    let quirks = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/quirks");
    let mut count = 0;
    for entry in std::fs::read_dir(quirks).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let about = std::fs::read_to_string(path.join("README")).unwrap();
        assert!(about.trim().lines().count() == 1, "{}", path.display());
        let sandbox = Sandbox::builder()
            .workspace_dir(&path)
            .start(0)
            .await
            .unwrap();
        sandbox.clear_faults();
        assert_eq!(web(&sandbox, "").await.status, 200, "{}", path.display());
        count += 1;
    }
    assert!(count > 60, "{count}");
}
