-- Which pipelines ran, with which result, and how long did they take?
--
-- Grain:  one row per pipeline run
-- Source: bitbucket.pipelines; domain.deployment_environments for what it deployed; base.account_ids; config.rules
--
-- Rules:
-- * original_result is the result, or the stage while the pipeline is in progress. result and status follow
--   DevLake's lists, whatever the letter case; a text in no list gives '' and OTHER.
-- * duration_sec is the time that passed from creation to completion in whole seconds: 0 while unfinished, and when
--   the completion is before the creation, which Bitbucket does deliver. Its own figure is a sum over the steps and
--   is kept as build_duration_sec.
-- * type is DEPLOYMENT when the rules count Bitbucket's deployments and one of this pipeline's was started, or when
--   they count patterns and deployment_pattern matches the branch or tag. deployment_source names the rule.
-- * environment is that of the deployment (PRODUCTION before STAGING before TESTING). Otherwise it is as in DevLake:
--   PRODUCTION when production_pattern is not set or matches the branch or tag. Read it with the type.
-- * terminator_id is the account that stopped the pipeline, from its result.
-- * created_date is NULL when Bitbucket provides none (DevLake takes the clock's time).
--
-- incremental: repository by cicd_scope_id
WITH collected AS (
    SELECT
        _connection_id,
        _repository_uuid,
        uuid,
        build_number,
        run_number,
        created_on,
        completed_on,
        duration_in_seconds,
        coalesce(state['name'], '') AS state_text,
        coalesce(state['result']['name'], state['stage']['name'], '') AS result_text,
        coalesce(state['result']['error']['key'], '') AS error_key,
        state['result']['terminator']['account_id'] AS terminator_account_id,
        state['result']['terminator']['uuid'] AS terminator_uuid,
        state['result']['terminator']['display_name'] AS terminator_name,
        coalesce(target['ref_name'], '') AS ref_name,
        coalesce(target['type'], '') AS target_type,
        target['pullrequest']['id'] AS pull_request_number,
        creator['account_id'] AS creator_account_id,
        creator['uuid'] AS creator_uuid,
        coalesce(creator['display_name'], '') AS creator_name,
        coalesce(trigger['name'], trigger['type'], '') AS trigger_name
    FROM bitbucket.pipelines
    WHERE uuid IS NOT NULL
),

pipelines AS (
    SELECT
        p.*,
        r.full_name,
        r.repo_id,
        r.raw_data_params,
        cast(r.connection_id AS varchar) AS conn,
        coalesce(u.deployments, 'bitbucket') AS counted,
        u.deployment_pattern,
        u.production_pattern,
        coalesce(a.account_id, nullif(p.creator_account_id, ''), nullif(p.creator_uuid, '')) AS creator_key,
        coalesce(t.account_id, nullif(p.terminator_account_id, ''), nullif(p.terminator_uuid, '')) AS terminator_key,
        coalesce(b.links['html']['href'], 'https://bitbucket.org/' || r.full_name) AS repo_url
    FROM collected AS p
    INNER JOIN config.repositories AS r
        ON r.connection_id = p._connection_id AND r.repository_uuid = p._repository_uuid
    LEFT JOIN config.rules AS u ON u.rules = r.rules
    LEFT JOIN bitbucket.repositories AS b
        ON b._connection_id = p._connection_id AND b._repository_uuid = p._repository_uuid
    LEFT JOIN base.account_ids AS a ON a.connection_id = p._connection_id AND a.uuid = p.creator_uuid
    LEFT JOIN base.account_ids AS t ON t.connection_id = p._connection_id AND t.uuid = p.terminator_uuid
    WHERE r.cicd
),

deployed AS (
    SELECT
        pipeline_id,
        CASE WHEN bool_or(environment = 'PRODUCTION') THEN 'PRODUCTION'
            WHEN bool_or(environment = 'STAGING') THEN 'STAGING'
            WHEN bool_or(environment = 'TESTING') THEN 'TESTING'
            ELSE min(environment)
        END AS environment
    FROM domain.deployment_environments
    WHERE was_started AND pipeline_id <> ''
    GROUP BY pipeline_id
),

classified AS (
    SELECT
        p.*,
        'bitbucket:BitbucketPipeline:' || p.conn || ':' || p.uuid AS id,
        d.environment AS deployed_environment,
        CASE WHEN p.counted IN ('bitbucket', 'both') AND d.pipeline_id IS NOT NULL THEN 'bitbucket'
            WHEN p.counted IN ('steps', 'both') AND regexp_like(p.ref_name, p.deployment_pattern) THEN 'pattern'
            ELSE ''
        END AS deployment_source,
        coalesce(p.build_number, 0) AS number
    FROM pipelines AS p
    LEFT JOIN deployed AS d ON d.pipeline_id = 'bitbucket:BitbucketPipeline:' || p.conn || ':' || p.uuid
)

SELECT
    id,
    id || '/' || cast(number AS varchar) AS name,
    '#' || cast(number AS varchar) AS display_title,
    CASE WHEN number = 0 THEN '' ELSE repo_url || '/pipelines/results/' || cast(number AS varchar) END AS url,
    CASE WHEN upper(result_text) IN ('SUCCESSFUL', 'COMPLETED', 'PASSED') THEN 'SUCCESS'
        WHEN upper(result_text) IN ('FAILED', 'ERROR', 'STOPPED') THEN 'FAILURE'
        ELSE ''
    END AS result,
    CASE WHEN upper(state_text) IN ('IN_PROGRESS', 'PENDING', 'BUILDING', 'RUNNING', 'PAUSED') THEN 'IN_PROGRESS'
        WHEN
            upper(state_text) IN ('SUCCESSFUL', 'COMPLETED', 'PASSED', 'FAILED', 'ERROR', 'STOPPED', 'HALTED')
            THEN 'DONE'
        ELSE 'OTHER'
    END AS status,
    result_text AS original_result,
    state_text AS original_status,
    CASE WHEN deployment_source <> '' THEN 'DEPLOYMENT' ELSE '' END AS type,
    CASE WHEN deployment_source = 'bitbucket' THEN deployed_environment
        WHEN production_pattern IS NULL OR regexp_like(ref_name, production_pattern) THEN 'PRODUCTION'
        ELSE ''
    END AS environment,
    coalesce(
        greatest(
            0.0, floor(round((extract(EPOCH FROM completed_on) - extract(EPOCH FROM created_on)) * 1000000) / 1000000)
        ),
        0.0
    ) AS duration_sec,
    cast(NULL AS double) AS queued_duration_sec,
    created_on AS created_date,
    cast(NULL AS timestamp) AS queued_date,
    created_on AS started_date,
    completed_on AS finished_date,
    repo_id AS cicd_scope_id,
    FALSE AS is_child,
    raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_pipelines' AS _raw_data_table,
    build_number,
    run_number,
    CASE WHEN duration_in_seconds >= 0 THEN cast(duration_in_seconds AS double) END AS build_duration_sec,
    trigger_name,
    target_type,
    coalesce('bitbucket:BitbucketAccount:' || conn || ':' || creator_key, '') AS creator_id,
    creator_name,
    coalesce(
        'bitbucket:BitbucketPullRequest:'
        || conn
        || ':'
        || full_name
        || ':'
        || cast(pull_request_number AS varchar),
        ''
    ) AS pull_request_id,
    deployment_source,
    error_key,
    'bitbucket:BitbucketAccount:' || conn || ':' || terminator_key AS terminator_id,
    nullif(terminator_name, '') AS terminator_name
FROM classified
