-- Which deployments were there, whatever commits they carried?
--
-- Grain:  one row per deployment
-- Source: domain.cicd_deployment_commits, which has one commit per deployment and decides every value
--
-- Rules:
-- * A deployment found by pattern has its pipeline's id, as DevLake's dora plugin gives it.
SELECT
    cicd_deployment_id AS id,
    cicd_scope_id,
    name,
    display_title,
    url,
    result,
    status,
    original_status,
    original_result,
    environment,
    original_environment,
    created_date,
    queued_date,
    started_date,
    finished_date,
    duration_sec,
    queued_duration_sec,
    CASE WHEN subtask_name = '' THEN '' ELSE 'dora.generateDeployments' END AS subtask_name,
    _raw_data_params,
    _raw_data_table,
    deployment_source,
    pipeline_id,
    task_id,
    environment_type,
    updated_date
FROM domain.cicd_deployment_commits
