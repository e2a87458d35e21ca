//! Discovery of repositories, and the errors when none is found.

use super::*;

#[tokio::test]
async fn empty_list_for_invisible_credentials() {
    let mut bench = Bench::quirk("empty_list_for_invisible_credentials").await;
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.context("line").is_some(), "{error}");
}

#[tokio::test]
async fn a_public_repository_needs_one_request_and_no_credentials_to_be_found() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("quirks/repository_without_project"), folder.path());
    let path = folder.path().join("acme/web/repository.json");
    let record = std::fs::read_to_string(&path).unwrap();
    let public = record.replace("\"is_private\": true", "\"is_private\": false");
    assert_ne!(public, record);
    std::fs::write(&path, public).unwrap();
    let builder = Sandbox::builder().workspace_dir(folder.path());
    let mut bench = Bench::new(builder.credentials(AcceptedCredentials::bearer("other"))).await;
    bench.connection = "auth = \"none\"".to_owned();
    bench.include = "acme/web".to_owned();
    let report = bench.complete().await;
    assert_eq!(web(&report, "commits").status, Some(ListStatus::Complete));
    assert_eq!(bench.asked(&["/repositories/acme?"]), 0);
    let log = bench.sandbox.request_log();
    assert!(log[0].ends_with("/repositories/acme/web"), "{}", log[0]);
}

async fn mistaken(include: &str) -> Error {
    let mut bench = Bench::quirk("repository_without_project").await;
    bench.include = include.to_owned();
    bench.run().await.unwrap_err()
}

#[tokio::test]
async fn an_include_that_finds_nothing_is_an_error_with_its_line() {
    for include in ["acme/nothing", "acme/nothing-*", "nobody/*"] {
        let error = mistaken(include).await;
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert_eq!(error.context("line"), Some("12"), "{error}");
    }
}

#[tokio::test]
async fn a_known_repository_that_is_gone_is_stale() {
    let (mut bench, web_folder) = Bench::copy_of("deployment_stopped").await;
    bench.include = "acme/web".to_owned();
    bench.complete().await;
    std::fs::rename(&web_folder, web_folder.with_file_name("other")).unwrap();
    bench
        .sandbox
        .inject(Fault::on("/repositories/acme/").status(404));
    let report = bench.run().await.unwrap();
    assert_eq!(web(&report, "pipelines").status, Some(ListStatus::Stale));
    let state = bench.state().await;
    assert!(state.missing_since.is_some() && !state.entities["pipelines"].segments.is_empty());
}

#[tokio::test]
async fn a_repository_counts_as_deleted_when_two_runs_a_day_apart_miss_it() {
    let mut bench = Bench::quirk("deployment_stopped").await;
    bench.include = "acme/web".to_owned();
    bench.complete().await;
    let gone = || Fault::on("/repositories/acme/").status(404);
    bench.sandbox.inject(gone());
    for (later, deleted) in [
        ("2026-11-24T02:00:00Z", false),
        ("2026-11-24T20:00:00Z", false),
        ("2026-11-25T02:00:00Z", true),
    ] {
        bench.now = at(later);
        bench.run().await.unwrap();
        assert_eq!(bench.state().await.deleted, deleted, "{later}");
    }
    bench.sandbox.clear_faults();
    bench.complete().await;
    let state = bench.state().await;
    assert!(
        !state.deleted && state.missing_since.is_none(),
        "it is back"
    );
}

#[tokio::test]
async fn refused_credentials_end_the_run() {
    let folder = fixture("quirks/repository_without_project");
    let builder = Sandbox::builder()
        .workspace_dir(folder)
        .credentials(AcceptedCredentials::bearer("other"));
    let error = Bench::new(builder).await.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let text = error.to_string();
    assert!(
        text.contains("environment variable TOKEN") && !text.contains("s3cr3t"),
        "{text}"
    );
}

#[tokio::test]
async fn a_missing_token_names_its_variable_and_line() {
    let mut bench = Bench::quirk("repository_without_project").await;
    bench.connection = "auth = \"access-token\"\ntoken = { env = \"OTHER\" }".to_owned();
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().contains("OTHER"), "{error}");
    assert!(bench.sandbox.request_log().is_empty());
}
