//! Execute `recipes/` and the Dockerfile.

use std::time::Duration;

use bitlake_sandbox::{AcceptedCredentials, Fault, Sandbox};
use serde_json::json;

use super::program::Program;
use super::python::Python;
use super::support::fixture;

/// Run a command of `tests/<script>/run.py` against a sandbox that is slow at first and accepts only the token `good`.
async fn run(script: &str, command: &str, times: u64, seconds: u64) {
    let Some(python) = Python::with(script) else {
        return;
    };
    let slow = Fault::on("/pullrequests?")
        .delay(Duration::from_secs(seconds))
        .times(times);
    let sandbox = Sandbox::builder()
        .workspace_dir(fixture("quirks/approval_activity"))
        .credentials(AcceptedCredentials::bearer("good"))
        .faults([slow]);
    let sandbox = sandbox.start(0).await.unwrap();
    let connection = "auth = \"access-token\"\ntoken = { env = \"BITBUCKET_TOKEN\" }";
    let more = "[[repositories]]\nconnection = \"acme\"\ninclude = [\"acme/web\"]\n[sync]\nsince = \"2026-01-01\"";
    let program = Program::beside(&sandbox, connection, more);
    let folder = program.folder.path();
    let plan = json!({
        "program": env!("CARGO_BIN_EXE_bitlake"),
        "root": env!("CARGO_MANIFEST_DIR"),
        "folder": folder,
    });
    python.run(command, &plan, folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crontab_goes_on_after_a_deadline_and_ends_beside_another_run() {
    run("recipes", "crontab", 1, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_systemd_service_restarts_for_exit_4_alone() {
    run("recipes", "systemd", 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cron_job_is_valid_and_retries_only_retryable_exit_codes() {
    run("recipes", "kubernetes", 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_is_valid_and_its_containers_collect_and_transform() {
    run("recipes", "cluster", 1, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dockerfile_builds_offline_from_the_lock_file() {
    run("recipes", "docker", 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_airflow_task_retries_only_retryable_exit_codes() {
    run("airflow", "dag", 2, 8).await;
}
