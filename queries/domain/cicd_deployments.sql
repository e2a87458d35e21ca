-- Which deployments were there, whatever commits they carried?
--
-- Grain:  one row per deployment
-- Source: domain.cicd_deployment_commits; domain.cicd_pipelines, domain.cicd_tasks and domain.project_mapping for those
--         that pipelines make
--
-- Rules:
-- * A deployment that a pipeline makes has the pipeline's id and values, as DevLake's dora plugin gives it, and needs no
--   commit. Which pipelines make one is said in base.cicd_deployment_commits.
-- * Any other is told by its commits: of several, by the one that finished last. So deployment commits from another
--   source, given without deployments, have their deployments too.
WITH finished_steps AS (
    SELECT
        pipeline_id,
        bool_or(type = 'DEPLOYMENT') AS is_deployment,
        bool_or(deployment_source = 'pattern') AS by_pattern,
        bool_or(environment = 'PRODUCTION') AS to_production,
        bool_or(environment = 'STAGING') AS to_staging,
        bool_or(environment = 'TESTING') AS to_testing,
        min(id) FILTER (WHERE type = 'DEPLOYMENT') AS task_id
    FROM domain.cicd_tasks
    WHERE deployment_source <> 'bitbucket' AND result IN ('SUCCESS', 'FAILURE')
    GROUP BY pipeline_id
),
deploying_pipelines AS (
    SELECT
        p.*,
        CASE WHEN p.deployment_source = 'pattern' OR s.by_pattern THEN 'pattern' ELSE '' END AS source,
        CASE WHEN s.is_deployment THEN s.task_id ELSE '' END AS task_id,
        CASE WHEN p.deployment_source <> 'bitbucket' AND p.environment <> '' THEN p.environment
             WHEN s.to_production THEN 'PRODUCTION'
             WHEN s.to_staging THEN 'STAGING'
             WHEN s.to_testing THEN 'TESTING'
             ELSE '' END AS deployed_to
    FROM domain.cicd_pipelines AS p
    LEFT JOIN finished_steps AS s ON s.pipeline_id = p.id
    WHERE p.result IN ('SUCCESS', 'FAILURE')
      AND ((p.type = 'DEPLOYMENT' AND p.deployment_source <> 'bitbucket') OR s.is_deployment)
),
with_commits AS (
    SELECT DISTINCT cicd_deployment_id AS id
    FROM domain.cicd_deployment_commits
    WHERE subtask_name = 'dora.generateDeploymentCommits'
),
told_by_bitbucket AS (
    SELECT DISTINCT pipeline_id AS id FROM domain.cicd_deployment_commits WHERE deployment_source = 'bitbucket'
),
made_by_pipelines AS (
    SELECT p.*
    FROM deploying_pipelines AS p
    WHERE p.id IN (SELECT w.id FROM with_commits AS w)
       OR (
           p.cicd_scope_id IN (SELECT m.row_id FROM domain.project_mapping AS m WHERE m."table" = 'cicd_scopes')
           AND p.id NOT IN (SELECT b.id FROM told_by_bitbucket AS b)
       )
),
told_by_commits AS (
    SELECT c.*
    FROM domain.cicd_deployment_commits AS c
    WHERE NOT EXISTS (SELECT 1 FROM made_by_pipelines AS p WHERE p.id = c.cicd_deployment_id)
    QUALIFY row_number() OVER (
        PARTITION BY c.cicd_deployment_id ORDER BY c.finished_date DESC NULLS LAST, c.id, c.commit_sha
    ) = 1
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
    source AS deployment_source,
    id AS pipeline_id,
    task_id,
    '' AS environment_type,
    finished_date AS updated_date
FROM made_by_pipelines
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
FROM told_by_commits
