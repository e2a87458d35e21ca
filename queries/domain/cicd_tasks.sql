-- Which steps did the pipelines have, with which result, and which of them deployed?
--
-- Grain:  one row per pipeline step, the never started ones included (DevLake drops those)
-- Source: bitbucket.pipeline_steps; bitbucket.pipelines for the creation time; domain.deployment_environments;
--         config.rules
--
-- Rules:
-- * result looks at the result, status at the state, by DevLake's lists, whatever the letter case.
-- * type is DEPLOYMENT when the rules count Bitbucket's deployments and this step is one, with that environment; or
--   when they count patterns and deployment_pattern matches the step's name: PRODUCTION if production_pattern is not
--   set or matches. Other steps have neither type nor environment, as in DevLake.
-- * created_date is the start, or the pipeline's creation for a step that never started.
-- * duration_sec is Bitbucket's figure for the step, else the time that passed, else 0.
--
-- incremental: repository by cicd_scope_id
WITH named AS (
    SELECT
        s.*,
        coalesce(s.pipeline['uuid'], s._pipeline_uuid) AS pipeline_uuid
    FROM bitbucket.pipeline_steps AS s
),

steps AS (
    SELECT
        s.*,
        r.full_name,
        r.repo_id,
        r.raw_data_params,
        cast(r.connection_id AS varchar) AS conn,
        coalesce(u.deployments, 'bitbucket') AS counted,
        u.deployment_pattern,
        u.production_pattern,
        p.created_on AS pipeline_created_on,
        coalesce(s.state['name'], '') AS state_text,
        coalesce(s.state['result']['name'], '') AS result_text
    FROM named AS s
    INNER JOIN config.repositories AS r
        ON r.connection_id = s._connection_id AND r.repository_uuid = s._repository_uuid
    LEFT JOIN config.rules AS u ON u.rules = r.rules
    LEFT JOIN bitbucket.pipelines AS p
        ON p._connection_id = s._connection_id AND p._repository_uuid = s._repository_uuid
            AND p.uuid = s.pipeline_uuid
    WHERE r.cicd AND s.uuid IS NOT NULL
),

-- several records for one step would double it: a started one wins, then the smallest id
deployed AS (
    SELECT
        task_id,
        id,
        environment
    FROM domain.deployment_environments
    WHERE task_id <> ''
    QUALIFY row_number() OVER (PARTITION BY task_id ORDER BY was_started DESC NULLS LAST, id) = 1
),

classified AS (
    SELECT
        s.*,
        d.id AS deployment_id,
        d.environment AS deployed_environment,
        CASE WHEN s.counted IN ('bitbucket', 'both') AND d.task_id IS NOT NULL THEN 'bitbucket'
            WHEN
                s.counted IN ('steps', 'both') AND regexp_like(coalesce(s.name, ''), s.deployment_pattern)
                THEN 'pattern'
            ELSE ''
        END AS deployment_source
    FROM steps AS s
    LEFT JOIN deployed AS d ON d.task_id = 'bitbucket:BitbucketPipelineStep:' || s.conn || ':' || s.uuid
)

SELECT
    'bitbucket:BitbucketPipelineStep:' || conn || ':' || uuid AS id,
    coalesce(name, '') AS name,
    'bitbucket:BitbucketPipeline:' || conn || ':' || pipeline_uuid AS pipeline_id,
    CASE WHEN upper(result_text) IN ('SUCCESSFUL', 'COMPLETED') THEN 'SUCCESS'
        WHEN upper(result_text) IN ('FAILED', 'ERROR', 'STOPPED') THEN 'FAILURE'
        ELSE ''
    END AS result,
    CASE WHEN upper(state_text) IN ('IN_PROGRESS', 'PENDING', 'BUILDING', 'READY') THEN 'IN_PROGRESS'
        WHEN upper(state_text) IN ('SUCCESSFUL', 'COMPLETED', 'FAILED', 'ERROR', 'STOPPED') THEN 'DONE'
        ELSE 'OTHER'
    END AS status,
    result_text AS original_result,
    state_text AS original_status,
    CASE WHEN deployment_source <> '' THEN 'DEPLOYMENT' ELSE '' END AS type,
    CASE WHEN deployment_source = 'bitbucket' THEN deployed_environment
        WHEN deployment_source = 'pattern'
            AND (production_pattern IS NULL OR regexp_like(coalesce(name, ''), production_pattern)) THEN 'PRODUCTION'
        ELSE ''
    END AS environment,
    coalesce(
        CASE WHEN duration_in_seconds >= 0 THEN cast(duration_in_seconds AS double) END,
        greatest(
            0.0, floor(round((extract(EPOCH FROM completed_on) - extract(EPOCH FROM started_on)) * 1000000) / 1000000)
        ),
        0.0
    ) AS duration_sec,
    cast(NULL AS double) AS queued_duration_sec,
    coalesce(started_on, pipeline_created_on) AS created_date,
    cast(NULL AS timestamp) AS queued_date,
    started_on AS started_date,
    completed_on AS finished_date,
    repo_id AS cicd_scope_id,
    raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_pipeline_steps' AS _raw_data_table,
    pipeline_created_on AS pipeline_created_date,
    run_number,
    coalesce(trigger['name'], trigger['type'], '') AS trigger_name,
    CASE WHEN build_seconds_used >= 0 THEN cast(build_seconds_used AS double) END AS build_seconds_used,
    CASE WHEN "maxTime" >= 0 THEN "maxTime" END AS max_minutes,
    coalesce(image['name'], '') AS image_name,
    deployment_source,
    CASE WHEN deployment_source = 'bitbucket' THEN deployment_id ELSE '' END AS deployment_id
FROM classified
