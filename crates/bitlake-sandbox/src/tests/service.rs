//! The pipelines service's own parameters and refusals.

use super::*;

fn pipeline(number: i64, state: Value) -> Value {
    json!({
        "uuid": format!("{{p{number}}}"), "build_number": number, "created_on": format!("2026-01-0{number}T00:00:00Z"),
        "state": state, "target": {"ref_name": if number == 1 { "main" } else { "dev" }},
        "trigger": {"name": "SCHEDULE"},
    })
}

fn ci() -> Fixture {
    let done = json!({"name": "COMPLETED", "result": {"name": "SUCCESSFUL"}});
    let halted = json!({"name": "IN_PROGRESS", "stage": {"name": "HALTED"}});
    let deployment = |uuid: &str, completed: Option<&str>| {
        let mut state = json!({"name": "UNDEPLOYED"});
        if let Some(time) = completed {
            state = json!({"name": "COMPLETED", "completed_on": time});
        }
        json!({
            "uuid": uuid, "state": state, "step": {"type": "pipeline_step", "uuid": "{s}", "name": "Deploy"},
            "environment": {
                "type": "deployment_environment", "uuid": "{e}", "name": "prod-eu", "slug": "prod-eu",
                "environment_type": {"type": "deployment_environment_type", "name": "Production"},
            },
        })
    };
    Fixture::new()
        .records("pipelines", [pipeline(2, halted), pipeline(1, done)])
        .records(
            "pipeline_steps",
            [json!({"uuid": "{s}", "pipeline": {"uuid": "{p1}"}})],
        )
        .records("environments", [json!({"uuid": "{e}", "name": "prod-eu"})])
        .records(
            "deployments",
            [
                deployment("{d1}", Some("2026-01-01T00:00:00.123456789Z")),
                deployment("{d2}", None),
                deployment("{d3}", Some("2026-01-01T00:00:00.2Z")),
            ],
        )
}

#[tokio::test]
async fn pipelines_are_oldest_first_ignore_q_and_refuse_other_sorts() {
    let sandbox = ci().start_owned().await;
    assert_eq!(
        web(&sandbox, "/pipelines/").await.each("build_number"),
        [1, 2]
    );
    assert_eq!(
        web(
            &sandbox,
            "/pipelines/?sort=-created_on&q=created_on%3E2030-01-01"
        )
        .await
        .each("build_number"),
        [2, 1]
    );
    assert_eq!(
        web(&sandbox, "/pipelines/?q=this%20is(not%20bbql")
            .await
            .status,
        200
    );
    let refused = web(&sandbox, "/pipelines/?sort=-completed_on").await;
    assert_eq!(refused.status, 400);
    let body = refused.json();
    assert_eq!(body.get("type"), None);
    assert_eq!(
        body["error"]["detail"],
        "Invalid sort attribute provided 'completed_on'"
    );
    assert_eq!(
        body["error"]["data"]["key"],
        "rest-service.rest-service.invalid-sort-attribute"
    );
}

#[tokio::test]
async fn pipelines_have_filters_of_their_own() {
    let sandbox = ci().start_owned().await;
    for (filter, found) in [
        ("target.branch=main", vec![1]),
        ("target.ref_name=dev", vec![2]),
        ("status=HALTED", vec![2]),
        ("status=PASSED&status=HALTED", vec![1, 2]),
        ("trigger_type=SCHEDULED", vec![1, 2]),
        ("creator.uuid=unknown", vec![]),
    ] {
        assert_eq!(
            web(&sandbox, &format!("/pipelines/?{filter}"))
                .await
                .each("build_number"),
            found,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn one_pipeline_by_uuid_or_number_and_its_steps() {
    let sandbox = ci().start_owned().await;
    assert_eq!(
        web(&sandbox, "/pipelines/%7Bp1%7D").await.json()["build_number"],
        1
    );
    assert_eq!(web(&sandbox, "/pipelines/2").await.json()["uuid"], "{p2}");
    assert_eq!(
        web(&sandbox, "/pipelines/%7Bp1%7D/steps/")
            .await
            .each("uuid"),
        ["{s}"]
    );
    assert!(
        web(&sandbox, "/pipelines/%7Bp2%7D/steps/")
            .await
            .each("uuid")
            .is_empty()
    );
    let missing = web(&sandbox, "/pipelines/%7Bnone%7D/steps/").await;
    assert_eq!((missing.status, missing.json().get("type")), (404, None));
}

#[tokio::test]
async fn deployments_hold_stubs_unless_fields_ask() {
    let sandbox = ci().start_owned().await;
    let plain = web(&sandbox, "/deployments/").await.json()["values"][0].clone();
    assert_eq!(
        plain["environment"],
        json!({"type": "deployment_environment", "uuid": "{e}"})
    );
    assert_eq!(
        plain["step"],
        json!({"type": "pipeline_step", "uuid": "{s}"})
    );
    let fields = "%2Bvalues.environment.name,%2Bvalues.environment.environment_type.name";
    let asked = web(&sandbox, &format!("/deployments/?fields={fields}"))
        .await
        .json()["values"][0]
        .clone();
    assert_eq!(asked["environment"]["name"], "prod-eu");
    assert_eq!(
        asked["environment"]["environment_type"],
        json!({"name": "Production"})
    );
    assert_eq!(asked["environment"].get("slug"), None);
    assert_eq!(
        web(&sandbox, "/environments/").await.each("name"),
        ["prod-eu"]
    );
    assert_eq!(
        web(&sandbox, "/deployments/%7Bd1%7D").await.json()["environment"]["name"],
        "prod-eu"
    );
}

#[tokio::test]
async fn deployments_sort_by_state_times_only_and_ignore_q() {
    let sandbox = ci().start_owned().await;
    let newest = web(&sandbox, "/deployments/?sort=-state.completed_on").await;
    assert_eq!(
        newest.each("uuid"),
        ["{d2}", "{d3}", "{d1}"],
        "rows without a time come first"
    );
    assert_eq!(
        web(&sandbox, "/deployments/?sort=-created_on").await.status,
        400
    );
    assert_eq!(
        web(&sandbox, "/deployments/?sort=last_update_time")
            .await
            .status,
        400
    );
    assert_eq!(
        web(&sandbox, "/deployments/?q=state.completed_on%3E2030-01-01")
            .await
            .each("uuid")
            .len(),
        3
    );
    assert_eq!(
        web(&sandbox, "/deployments/?state.name=UNDEPLOYED")
            .await
            .each("uuid"),
        ["{d2}"]
    );
}
