-- Which deployments do pipelines make?
--
-- Grain:  one row per pipeline that is a deployment
-- Source: domain.cicd_pipelines, domain.cicd_tasks, domain.project_mapping; domain.cicd_deployment_commits for what is known
--         already
--
-- Rules:
-- * Such a deployment has the pipeline's id and values, as DevLake's dora plugin gives it, and needs no commit. The
--   rules for which pipelines are deployments are those of base.cicd_deployment_commits.
-- * Those that a pattern of Bitbucket's rules found have a commit each: domain.cicd_deployments takes them from there.
--
-- incremental: repository
WITH finished_steps AS (
    SELECT
        pipeline_id,
        bool_or(type = 'DEPLOYMENT') AS is_deployment,
        bool_or(environment = 'PRODUCTION') AS to_production,
        bool_or(environment = 'STAGING') AS to_staging,
        bool_or(environment = 'TESTING') AS to_testing,
        min(id) FILTER (WHERE type = 'DEPLOYMENT') AS task_id
    FROM domain.cicd_tasks
    WHERE deployment_source = '' AND result IN ('SUCCESS', 'FAILURE')
    GROUP BY pipeline_id
),

deploying_pipelines AS (
    SELECT
        p.*,
        CASE WHEN s.is_deployment THEN s.task_id ELSE '' END AS task_id,
        CASE WHEN p.deployment_source <> 'bitbucket' AND p.environment <> '' THEN p.environment
            WHEN s.to_production THEN 'PRODUCTION'
            WHEN s.to_staging THEN 'STAGING'
            WHEN s.to_testing THEN 'TESTING'
            ELSE ''
        END AS deployed_to
    FROM domain.cicd_pipelines AS p
    LEFT JOIN finished_steps AS s ON s.pipeline_id = p.id
    WHERE p.result IN ('SUCCESS', 'FAILURE')
        AND ((p.type = 'DEPLOYMENT' AND p.deployment_source = '') OR s.is_deployment)
),

with_commits AS (
    SELECT DISTINCT cicd_deployment_id AS id
    FROM domain.cicd_deployment_commits
    WHERE subtask_name = 'dora.generateDeploymentCommits'
),

known_to_bitbucket AS (
    SELECT DISTINCT pipeline_id AS id FROM domain.cicd_deployment_commits WHERE deployment_source = 'bitbucket'
),

made_by_pipelines AS (
    SELECT p.*
    FROM deploying_pipelines AS p
    WHERE p.id IN (SELECT w.id FROM with_commits AS w)
        OR (
            p.cicd_scope_id IN (SELECT m.row_id FROM domain.project_mapping AS m WHERE m."table" = 'cicd_scopes')
            AND p.id NOT IN (SELECT b.id FROM known_to_bitbucket AS b)
        )
)

SELECT
    id,
    cicd_scope_id,
    name,
    display_title,
    url,
    result,
    status,
    original_status,
    original_result,
    deployed_to AS environment,
    '' AS original_environment,
    created_date,
    queued_date,
    started_date,
    finished_date,
    duration_sec,
    queued_duration_sec,
    'dora.generateDeployments' AS subtask_name,
    _raw_data_params,
    _raw_data_table,
    '' AS deployment_source,
    id AS pipeline_id,
    task_id,
    '' AS environment_type,
    finished_date AS updated_date
FROM made_by_pipelines
