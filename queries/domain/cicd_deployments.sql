-- Which deployments were there, regardless of their commits?
--
-- Grain:  one row per deployment
-- Source: base.cicd_deployments, domain.cicd_deployment_commits
--
-- Rules:
-- * A deployment that is not among the base's, which pipelines make or a [[table]] gives, is made from its commits: of
--   several, by the one that finished last. So no deployment commit is without its deployment.
--
-- incremental: repository by cicd_scope_id
SELECT * FROM base.cicd_deployments
UNION ALL
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
FROM domain.cicd_deployment_commits AS c
WHERE c.cicd_deployment_id <> ''
    AND NOT EXISTS (SELECT 1 FROM base.cicd_deployments AS d WHERE d.id = c.cicd_deployment_id)
QUALIFY row_number() OVER (
        PARTITION BY c.cicd_deployment_id ORDER BY c.finished_date DESC NULLS LAST, c.id, c.commit_sha
    ) = 1
