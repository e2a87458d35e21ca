-- What was deployed where, when, and did it succeed?
--
-- Grain:  one row per deployment and commit; each of Bitbucket's deployments has one commit
-- Source: bitbucket.deployments and domain.deployment_environments; domain.cicd_pipelines, domain.cicd_tasks and
--         domain.cicd_pipeline_commits for deployments found by pattern; config.rules says which of them count
--
-- Rules:
-- * Bitbucket says COMPLETED of a failed and of a stopped deployment too. The outcome is the state's status, else the
--   result of the step that deployed, else the state itself (DevLake reads only the state, so failures are successes).
--   A deployment that is not completed has no outcome yet, whatever its step says. original_result is the text that
--   decided, '' if only the state did.
-- * environment is the class from domain.deployment_environments, original_environment the name as spelled.
-- * A deployment whose pipeline is not among the collected ones stays, without branch (DevLake drops it).
-- * By pattern, as DevLake's dora plugin does it: a pipeline with a result is a deployment when its branch matches, or
--   one of its steps that has a result does. It is left out when Bitbucket's own deployments tell of the same pipeline,
--   unless a further step deployed to an environment that Bitbucket has no deployment for: no release counts twice.
-- * prev_success_deployment_commit_id is the success before this one in the same scope, repository and environment, by
--   the time it finished. Rows that are no finished success have ''.
WITH repositories AS (
    SELECT
        r.connection_id, r.repository_uuid, r.full_name, cast(r.connection_id AS varchar) AS conn,
        'bitbucket:BitbucketRepo:' || cast(r.connection_id AS varchar) || ':' || r.full_name AS repo_id,
        coalesce(u.deployments, 'bitbucket') AS counted,
        coalesce(b.links['html']['href'], 'https://bitbucket.org/' || r.full_name) AS repo_url
    FROM config.repositories AS r
    LEFT JOIN config.rules AS u ON u.rules = r.rules
    LEFT JOIN bitbucket.repositories AS b
      ON b._connection_id = r.connection_id AND b._repository_uuid = r.repository_uuid
    WHERE r.cicd
),
-- a step's id is unique in Bitbucket; the task has its result as delivered
bitbucket_deployments AS (
    SELECT
        e.id,
        r.repo_id, r.repo_url, r.full_name, r.conn,
        d.release,
        d.last_update_time,
        d.state['started_on'] AS started_on,
        d.state['completed_on'] AS completed_on,
        coalesce(d.state['name'], '') AS state_text,
        coalesce(
            d.state['status']['name'],
            CASE WHEN upper(d.state['name']) = 'COMPLETED' THEN nullif(t.original_result, '') END,
            ''
        ) AS outcome_text,
        -- ERROR of a step is a failure, though no deployment has that word
        CASE WHEN d.state['status']['name'] IS NULL AND upper(d.state['name']) = 'COMPLETED'
             THEN nullif(t.result, '') END AS step_result,
        e.environment, e.original_environment, e.environment_type, e.pipeline_id, e.task_id,
        coalesce(c.branch, '') AS ref_name
    FROM bitbucket.deployments AS d
    JOIN repositories AS r
      ON r.connection_id = d._connection_id AND r.repository_uuid = d._repository_uuid
    JOIN domain.deployment_environments AS e
      ON e.id = 'bitbucket:BitbucketDeployment:' || r.conn || ':' || d.uuid
    LEFT JOIN domain.cicd_tasks AS t ON t.id = e.task_id
    LEFT JOIN domain.cicd_pipeline_commits AS c ON c.pipeline_id = e.pipeline_id
    WHERE r.counted IN ('bitbucket', 'both')
),
matching_steps AS (
    SELECT
        pipeline_id,
        bool_or(environment = 'PRODUCTION') AS to_production,
        min(id) AS task_id
    FROM domain.cicd_tasks
    WHERE deployment_source = 'pattern' AND result IN ('SUCCESS', 'FAILURE')
    GROUP BY pipeline_id
),
matching_pipelines AS (
    SELECT
        p.*,
        s.pipeline_id IS NOT NULL AS by_step,
        coalesce(s.task_id, '') AS task_id,
        CASE WHEN p.deployment_source <> 'bitbucket' AND p.environment <> '' THEN p.environment
             WHEN s.to_production THEN 'PRODUCTION'
             ELSE '' END AS pattern_environment
    FROM domain.cicd_pipelines AS p
    LEFT JOIN matching_steps AS s ON s.pipeline_id = p.id
    WHERE p.result IN ('SUCCESS', 'FAILURE')
      AND (p.deployment_source = 'pattern' OR s.pipeline_id IS NOT NULL)
),
pattern_deployments AS (
    SELECT m.*, r.repo_id, r.repo_url, coalesce(c.branch, '') AS ref_name, coalesce(c.commit_sha, '') AS commit_sha
    FROM matching_pipelines AS m
    JOIN repositories AS r ON r.repo_id = m.cicd_scope_id
    LEFT JOIN domain.cicd_pipeline_commits AS c ON c.pipeline_id = m.id
    WHERE r.counted IN ('steps', 'both')
      AND NOT EXISTS (
          SELECT 1
          FROM bitbucket_deployments AS b
          WHERE b.pipeline_id = m.id
            AND (NOT m.by_step OR m.pattern_environment = '' OR b.environment = m.pattern_environment)
      )
),
deployments AS (
    SELECT
        id,
        id AS cicd_deployment_id,
        repo_id AS cicd_scope_id,
        coalesce(release['name'], '') AS name,
        coalesce(release['name'], '') AS display_title,
        coalesce(release['url'], '') AS url,
        CASE WHEN step_result IS NOT NULL THEN step_result
             WHEN upper(coalesce(nullif(outcome_text, ''), state_text)) IN ('SUCCESSFUL', 'COMPLETED') THEN 'SUCCESS'
             WHEN upper(coalesce(nullif(outcome_text, ''), state_text)) IN ('FAILED', 'STOPPED', 'CANCELLED') THEN 'FAILURE'
             ELSE '' END AS result,
        CASE WHEN upper(state_text) = 'IN_PROGRESS' THEN 'IN_PROGRESS'
             WHEN upper(state_text) IN ('SUCCESSFUL', 'COMPLETED', 'FAILED', 'STOPPED', 'CANCELLED') THEN 'DONE'
             ELSE 'OTHER' END AS status,
        state_text AS original_status,
        outcome_text AS original_result,
        environment,
        original_environment,
        release['created_on'] AS created_date,
        started_on AS started_date,
        completed_on AS finished_date,
        floor(round((extract(epoch FROM completed_on) - extract(epoch FROM started_on)) * 1000000) / 1000000) AS duration_sec,
        '' AS subtask_name,
        coalesce(release['commit']['hash'], '') AS commit_sha,
        ref_name,
        repo_id,
        repo_url,
        '{"ConnectionId":' || conn || ',"FullName":"' || full_name || '"}' AS raw_data_params,
        '_raw_bitbucket_api_deployments' AS raw_data_table,
        'bitbucket' AS deployment_source,
        pipeline_id,
        task_id,
        environment_type,
        last_update_time AS updated_date
    FROM bitbucket_deployments
    UNION ALL
    SELECT
        id || ':' || repo_url AS id,
        id AS cicd_deployment_id,
        repo_id AS cicd_scope_id,
        name,
        display_title,
        url,
        result,
        status,
        original_status,
        original_result,
        pattern_environment AS environment,
        '' AS original_environment,
        created_date,
        started_date,
        finished_date,
        duration_sec,
        'dora.generateDeploymentCommits' AS subtask_name,
        commit_sha,
        ref_name,
        repo_id,
        repo_url,
        _raw_data_params AS raw_data_params,
        _raw_data_table AS raw_data_table,
        'pattern' AS deployment_source,
        id AS pipeline_id,
        task_id,
        '' AS environment_type,
        finished_date AS updated_date
    FROM pattern_deployments
),
previous_success AS (
    SELECT
        id,
        lag(id) OVER (
            PARTITION BY cicd_scope_id, repo_url, environment ORDER BY finished_date, started_date, id
        ) AS previous_id
    FROM deployments
    WHERE result = 'SUCCESS' AND finished_date IS NOT NULL AND environment <> ''
)
SELECT
    d.id,
    d.cicd_deployment_id,
    d.cicd_scope_id,
    d.name,
    d.display_title,
    d.url,
    d.result,
    d.status,
    d.original_status,
    d.original_result,
    d.environment,
    d.original_environment,
    d.created_date,
    cast(NULL AS timestamp) AS queued_date,
    d.started_date,
    d.finished_date,
    d.duration_sec,
    cast(NULL AS double) AS queued_duration_sec,
    d.subtask_name,
    d.commit_sha,
    '' AS commit_msg,
    d.ref_name,
    d.repo_id,
    d.repo_url,
    coalesce(p.previous_id, '') AS prev_success_deployment_commit_id,
    d.raw_data_params AS _raw_data_params,
    d.raw_data_table AS _raw_data_table,
    d.deployment_source,
    d.pipeline_id,
    d.task_id,
    d.environment_type,
    d.updated_date
FROM deployments AS d
LEFT JOIN previous_success AS p ON p.id = d.id
