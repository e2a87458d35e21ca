-- What was deployed where, when, and did it succeed?
--
-- Grain:  one row per deployment and commit, before the chain of successes; each of Bitbucket's deployments has one commit
-- Source: bitbucket.deployments and domain.deployment_environments for Bitbucket's own; domain.cicd_pipelines,
--         domain.cicd_tasks, domain.cicd_pipeline_commits and domain.project_mapping for those that pipelines make
--
-- Rules:
-- * Bitbucket's state is COMPLETED for a failed and for a stopped deployment too. The outcome is the state's status,
--   else the result of the step that deployed, else the state itself (DevLake reads only the state, so failures are
--   successes). A deployment that is not completed has no outcome yet, whatever its step says. original_result is the
--   text that decided, '' if only the state did.
-- * environment is the class from domain.deployment_environments, original_environment the name as spelled.
-- * A deployment whose pipeline was not collected is kept, without branch (DevLake drops it).
-- * From pipelines, as DevLake's dora plugin does it: a pipeline with a result is a deployment when it or one of its
--   steps that has a result is of that type, and each of its commits makes a row. Its environment is the pipeline's,
--   else the highest of its steps that have a result. An unknown start is the end minus the whole seconds of the
--   duration.
-- * Where deployment_pattern finds steps, the deployment has their outcome and times, regardless of the pipeline's. Of
--   several steps those to the highest environment count: from the first start to the last end, failed if one failed.
--   While none of them has a result there is no deployment, even if the branch matches too.
-- * A pipeline of another source counts when a project has its scope; one that a pattern of Bitbucket's rules found,
--   always.
-- * A pipeline is left out when one of Bitbucket's own deployments refers to it, unless a further step deployed to an
--   environment that Bitbucket has no deployment for: no release counts twice.
--
-- incremental: repository
WITH repositories AS (
    SELECT
        r.connection_id,
        r.repository_uuid,
        r.full_name,
        r.repo_id,
        r.raw_data_params,
        cast(r.connection_id AS varchar) AS conn,
        coalesce(b.links['html']['href'], 'https://bitbucket.org/' || r.full_name) AS repo_url
    FROM config.repositories AS r
    LEFT JOIN config.rules AS u ON u.rules = r.rules
    LEFT JOIN bitbucket.repositories AS b
        ON b._connection_id = r.connection_id AND b._repository_uuid = r.repository_uuid
    WHERE r.cicd AND coalesce(u.deployments, 'bitbucket') IN ('bitbucket', 'both')
),

branches AS (
    SELECT
        pipeline_id,
        min(branch) AS branch
    FROM domain.cicd_pipeline_commits
    GROUP BY pipeline_id
),

-- a step's id is unique in Bitbucket; the task has its result as delivered
bitbucket_deployments AS (
    SELECT
        e.id,
        r.repo_id,
        r.repo_url,
        r.full_name,
        r.conn,
        r.raw_data_params,
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
                THEN nullif(t.result, '')
        END AS step_result,
        e.environment,
        e.original_environment,
        e.environment_type,
        e.pipeline_id,
        e.task_id,
        coalesce(c.branch, '') AS ref_name
    FROM bitbucket.deployments AS d
    INNER JOIN repositories AS r
        ON r.connection_id = d._connection_id AND r.repository_uuid = d._repository_uuid
    INNER JOIN domain.deployment_environments AS e
        ON e.id = 'bitbucket:BitbucketDeployment:' || r.conn || ':' || d.uuid
    LEFT JOIN domain.cicd_tasks AS t ON t.id = e.task_id
    LEFT JOIN branches AS c ON c.pipeline_id = e.pipeline_id
),

-- pipelines and steps that have a deployment of Bitbucket's own are left out here
steps_by_pattern AS (
    SELECT
        t.*,
        bool_or(t.environment = 'PRODUCTION') OVER (PARTITION BY t.pipeline_id) AS names_production
    FROM domain.cicd_tasks AS t
    WHERE t.deployment_source = 'pattern'
),

deciding_steps AS (
    SELECT *
    FROM steps_by_pattern
    WHERE result IN ('SUCCESS', 'FAILURE')
    QUALIFY environment = max(environment) OVER (PARTITION BY pipeline_id)
),

-- FAILURE sorts before SUCCESS
step_outcomes AS (
    SELECT
        pipeline_id,
        min(result) AS result,
        (array_agg(id ORDER BY result NULLS FIRST, finished_date DESC NULLS LAST, id NULLS FIRST))[1] AS task_id,
        (array_agg(status ORDER BY result NULLS FIRST, finished_date DESC NULLS LAST, id NULLS FIRST))[1] AS status,
        (array_agg(original_status ORDER BY result NULLS FIRST, finished_date DESC NULLS LAST, id NULLS FIRST))[1]
            AS original_status,
        (array_agg(original_result ORDER BY result NULLS FIRST, finished_date DESC NULLS LAST, id NULLS FIRST))[1]
            AS original_result,
        max(environment) AS environment,
        bool_or(names_production) AS names_production,
        min(created_date) AS created_date,
        min(started_date) AS started_date,
        CASE WHEN count(*) = count(finished_date) THEN max(finished_date) END AS finished_date
    FROM deciding_steps
    GROUP BY pipeline_id
),

other_steps AS (
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
        p.id,
        p.cicd_scope_id,
        p.name,
        s.result,
        s.status,
        s.original_status,
        s.original_result,
        coalesce(s.created_date, p.created_date) AS created_date,
        coalesce(s.started_date, p.started_date) AS started_date,
        coalesce(s.finished_date, p.finished_date) AS finished_date,
        CASE WHEN s.started_date IS NULL OR s.finished_date IS NULL THEN p.duration_sec
            ELSE greatest(
                    0.0,
                    floor(
                        round((extract(EPOCH FROM s.finished_date) - extract(EPOCH FROM s.started_date)) * 1000000)
                        / 1000000
                    )
                )
        END AS duration_sec,
        p.queued_duration_sec,
        TRUE AS by_step,
        TRUE AS by_pattern,
        s.task_id,
        CASE WHEN
                p.deployment_source <> 'bitbucket' AND p.environment <> '' AND NOT s.names_production
                THEN p.environment
            ELSE s.environment
        END AS deployed_to
    FROM step_outcomes AS s
    INNER JOIN domain.cicd_pipelines AS p ON p.id = s.pipeline_id
    UNION ALL
    SELECT
        p.id,
        p.cicd_scope_id,
        p.name,
        p.result,
        p.status,
        p.original_status,
        p.original_result,
        p.created_date,
        p.started_date,
        p.finished_date,
        p.duration_sec,
        p.queued_duration_sec,
        coalesce(s.is_deployment, FALSE) AS by_step,
        p.deployment_source = 'pattern' AS by_pattern,
        CASE WHEN s.is_deployment THEN s.task_id ELSE '' END AS task_id,
        CASE WHEN p.deployment_source <> 'bitbucket' AND p.environment <> '' THEN p.environment
            WHEN s.to_production THEN 'PRODUCTION'
            WHEN s.to_staging THEN 'STAGING'
            WHEN s.to_testing THEN 'TESTING'
            ELSE ''
        END AS deployed_to
    FROM domain.cicd_pipelines AS p
    LEFT JOIN other_steps AS s ON s.pipeline_id = p.id
    WHERE p.result IN ('SUCCESS', 'FAILURE')
        AND ((p.type = 'DEPLOYMENT' AND p.deployment_source <> 'bitbucket') OR s.is_deployment)
        AND p.id NOT IN (SELECT t.pipeline_id FROM steps_by_pattern AS t)
),

deployed_pipelines AS (
    SELECT p.*
    FROM deploying_pipelines AS p
    WHERE (
        p.by_pattern
        OR p.cicd_scope_id IN (SELECT m.row_id FROM domain.project_mapping AS m WHERE m."table" = 'cicd_scopes')
    )
    AND NOT EXISTS (
        SELECT 1
        FROM bitbucket_deployments AS b
        WHERE b.pipeline_id = p.id
            AND (NOT p.by_step OR p.deployed_to = '' OR b.environment = p.deployed_to)
    )
)

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
        ELSE ''
    END AS result,
    CASE WHEN upper(state_text) = 'IN_PROGRESS' THEN 'IN_PROGRESS'
        WHEN upper(state_text) IN ('SUCCESSFUL', 'COMPLETED', 'FAILED', 'STOPPED', 'CANCELLED') THEN 'DONE'
        ELSE 'OTHER'
    END AS status,
    state_text AS original_status,
    outcome_text AS original_result,
    environment,
    original_environment,
    release['created_on'] AS created_date,
    cast(NULL AS timestamp) AS queued_date,
    started_on AS started_date,
    completed_on AS finished_date,
    CASE WHEN completed_on >= started_on
            THEN floor(round((extract(EPOCH FROM completed_on) - extract(EPOCH FROM started_on)) * 1000000) / 1000000)
    END AS duration_sec,
    cast(NULL AS double) AS queued_duration_sec,
    '' AS subtask_name,
    coalesce(release['commit']['hash'], '') AS commit_sha,
    '' AS commit_msg,
    ref_name,
    repo_id,
    repo_url,
    '' AS prev_success_deployment_commit_id,
    raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_deployments' AS _raw_data_table,
    'bitbucket' AS deployment_source,
    pipeline_id,
    task_id,
    environment_type,
    last_update_time AS updated_date
FROM bitbucket_deployments
UNION ALL
SELECT
    p.id || ':' || c.repo_url AS id,
    p.id AS cicd_deployment_id,
    p.cicd_scope_id,
    p.name,
    c.display_title,
    c.url,
    p.result,
    p.status,
    p.original_status,
    p.original_result,
    p.deployed_to AS environment,
    '' AS original_environment,
    p.created_date,
    cast(NULL AS timestamp) AS queued_date,
    coalesce(
        p.started_date,
        -- ten years: more is no duration, and the start might lie before every calendar
        CASE WHEN p.duration_sec BETWEEN 0 AND 315360000
                THEN p.finished_date
                    - cast(cast(cast(trunc(p.duration_sec) AS bigint) AS varchar) || ' seconds' AS interval)
        END
    ) AS started_date,
    p.finished_date,
    p.duration_sec,
    p.queued_duration_sec,
    'dora.generateDeploymentCommits' AS subtask_name,
    c.commit_sha,
    '' AS commit_msg,
    c.branch AS ref_name,
    c.repo_id,
    c.repo_url,
    '' AS prev_success_deployment_commit_id,
    c._raw_data_params,
    c._raw_data_table,
    CASE WHEN p.by_pattern THEN 'pattern' ELSE '' END AS deployment_source,
    p.id AS pipeline_id,
    p.task_id,
    '' AS environment_type,
    p.finished_date AS updated_date
FROM deployed_pipelines AS p
INNER JOIN domain.cicd_pipeline_commits AS c ON c.pipeline_id = p.id
