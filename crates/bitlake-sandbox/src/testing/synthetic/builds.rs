//! The records of the pipelines service: pipelines, steps, deployments, environments.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::history::RepositoryHistory;
use super::records::{RecordKind, SyntheticRepository, uuid};

/// One of `DEPLOYS` pipelines deploys; of these, one of `UNDEPLOYED` is never deployed and one of `FAILED` fails.
const DEPLOYS: usize = 10;
const UNDEPLOYED: usize = 20;
const FAILED: usize = 9;
/// One environment of each of the three types.
pub(super) const ENVIRONMENTS: usize = 3;

const TYPES: [&str; ENVIRONMENTS] = ["Test", "Staging", "Production"];

/// Format a time as the pipelines service does.
fn service(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl SyntheticRepository<'_> {
    pub(super) fn pipeline_uuid(&self, n: usize) -> String {
        uuid(RecordKind::Pipeline, self.number, n)
    }

    /// Find a pipeline by its uuid or build number.
    pub(super) fn pipeline_named(&self, id: &str) -> Option<usize> {
        let n = match (id.parse::<usize>(), id.get(1..9)) {
            (Ok(build), _) => build.checked_sub(1)?,
            (_, n) => usize::from_str_radix(n?, 16).ok()?,
        };
        let is_known = id.parse::<usize>().is_ok() || id == self.pipeline_uuid(n);
        (is_known && n < self.history.pipelines.len()).then_some(n)
    }

    pub(super) fn pipeline(&self, n: usize) -> Value {
        let of = &self.history.pipelines[n];
        let result = outcome(n);
        json!({
            "type": "pipeline", "uuid": self.pipeline_uuid(n), "build_number": n + 1,
            "state": {"type": "pipeline_state_completed", "name": "COMPLETED",
                      "result": {"type": format!("pipeline_state_completed_{}", result.to_lowercase()), "name": result}},
            "created_on": service(of.created), "completed_on": service(of.created + TimeDelta::minutes(5)),
            "run_number": 1, "run_creation_date": service(of.created), "duration_in_seconds": 240, "build_seconds_used": 240,
            "creator": self.user(n), "trigger": {"type": "pipeline_trigger_push", "name": "PUSH"},
            "target": {"type": "pipeline_ref_target", "ref_type": "branch", "ref_name": "main",
                       "selector": {"type": "branches", "pattern": "main"},
                       "commit": {"type": "commit", "hash": self.hash(of.commit)}},
            "first_successful": false, "expired": false, "has_variables": false, "repository": self.stub(),
        })
    }

    /// Return the build step, and the deployment step if the pipeline deploys.
    pub(super) fn steps(&self, n: usize) -> Vec<Value> {
        let deploys = is_deploying(n);
        let start = self.history.pipelines[n].created;
        let step = |(at, name): (usize, &str)| {
            let result = outcome(n);
            let begin = start + TimeDelta::minutes(2 * at as i64 + 1);
            json!({
                "type": "pipeline_step", "uuid": uuid(RecordKind::Step, self.number, 2 * n + at), "name": name,
                "pipeline": {"type": "pipeline", "uuid": self.pipeline_uuid(n)}, "run_number": 1,
                "trigger": {"type": "pipeline_step_trigger_automatic"},
                "state": {"type": "pipeline_step_state_completed", "name": "COMPLETED",
                          "result": {"type": format!("pipeline_step_state_completed_{}", result.to_lowercase()), "name": result}},
                "started_on": service(begin), "completed_on": service(begin + TimeDelta::minutes(2)),
                "duration_in_seconds": 120, "build_seconds_used": 120, "maxTime": 120,
                "image": {"name": "rust:1"}, "script_commands": [],
            })
        };
        let names = ["Build", "Deploy"];
        names
            .into_iter()
            .take(1 + usize::from(deploys))
            .enumerate()
            .map(step)
            .collect()
    }

    pub(super) fn deployment_uuid(&self, n: usize) -> String {
        uuid(RecordKind::Deployment, self.number, n)
    }

    /// Return when the deployment completed, if it did.
    pub(super) fn deployed(&self, n: usize) -> Option<DateTime<Utc>> {
        let created = self.history.pipelines[pipeline_of(n)].created;
        (!is_undeployed(n)).then_some(created + TimeDelta::minutes(5))
    }

    pub(super) fn deployment(&self, n: usize) -> Value {
        let at = pipeline_of(n);
        let of = &self.history.pipelines[at];
        let pipeline = self.pipeline_uuid(at);
        let release = json!({
            "type": "deployment_release", "key": format!("pipelines-{pipeline}"), "name": format!("#{}", at + 1),
            "pipeline": {"type": "pipeline", "uuid": pipeline},
            "commit": {"type": "commit", "hash": self.hash(of.commit)}, "created_on": service(of.created),
        });
        let mut record = json!({
            "type": "deployment", "uuid": self.deployment_uuid(n), "number": n + 1, "version": 1,
            "key": format!("steps-{}", uuid(RecordKind::Step, self.number, 2 * at + 1)),
            "environment": self.environment(n % ENVIRONMENTS),
            "step": {"type": "pipeline_step", "uuid": uuid(RecordKind::Step, self.number, 2 * at + 1), "name": "Deploy"},
            "release": release,
            "state": {"type": "deployment_state_undeployed", "name": "UNDEPLOYED"},
        });
        if let Some(time) = self.deployed(n) {
            let status = outcome(at);
            record["state"] = json!({
                "type": "deployment_state_completed", "name": "COMPLETED",
                "started_on": service(time - TimeDelta::minutes(2)), "completed_on": service(time),
                "status": {"type": format!("deployment_state_completed_{}", status.to_lowercase()), "name": status},
            });
            record["last_update_time"] = service(time).into();
        }
        record
    }

    pub(super) fn environment(&self, n: usize) -> Value {
        let name = TYPES[n];
        json!({
            "type": "deployment_environment", "uuid": uuid(RecordKind::Environment, self.number, n), "name": name,
            "slug": name.to_lowercase(), "rank": n, "hidden": false, "category": {"name": name},
            "environment_type": {"type": "deployment_environment_type", "name": name, "rank": n},
            "lock": {"type": "deployment_environment_lock_open", "name": "OPEN"},
        })
    }
}

fn outcome(pipeline: usize) -> &'static str {
    if has_failed(pipeline) {
        "FAILED"
    } else {
        "SUCCESSFUL"
    }
}

impl RepositoryHistory {
    /// Return the number of pipelines that deploy. A deployment's number is its index plus one.
    pub(super) fn deployments(&self) -> usize {
        self.pipelines.len() / DEPLOYS
    }
}

/// Return the pipeline of a deployment.
fn pipeline_of(deployment: usize) -> usize {
    deployment * DEPLOYS + DEPLOYS - 1
}

/// Whether a pipeline deploys.
pub(super) fn is_deploying(pipeline: usize) -> bool {
    pipeline % DEPLOYS == DEPLOYS - 1
}

fn is_undeployed(deployment: usize) -> bool {
    deployment % UNDEPLOYED == UNDEPLOYED - 1
}

/// Whether a pipeline, and with it its deployment, failed.
fn has_failed(pipeline: usize) -> bool {
    pipeline / DEPLOYS % FAILED == FAILED - 1
}
