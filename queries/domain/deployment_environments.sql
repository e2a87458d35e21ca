-- Which class of environment did each of Bitbucket's deployments go to?
--
-- Grain:  one row per Bitbucket deployment, whatever its state
-- Source: bitbucket.deployments; bitbucket.environments when the deployment has only the environment's uuid;
--         bitbucket.pipeline_steps for the pipeline of a deployment that does not name it
--
-- Not a DevLake table: pipelines, tasks and deployments all need the class, and it is decided here once.
--
-- Rules:
-- * The environment's type decides: Production, Staging, Test. Names are free text ("prod-eu"), so the name decides
--   only when there is no type, by the exact words production, prod, staging, test; any other name in capitals.
-- * The name is kept as it is spelled.
--
-- incremental: repository by cicd_scope_id
WITH steps AS (
    SELECT
        _connection_id,
        _repository_uuid,
        uuid,
        coalesce(pipeline['uuid'], _pipeline_uuid) AS pipeline_uuid
    FROM bitbucket.pipeline_steps
),

named AS (
    SELECT
        d.uuid,
        r.full_name,
        r.repo_id,
        r.raw_data_params,
        cast(r.connection_id AS varchar) AS conn,
        coalesce(d.release['pipeline']['uuid'], s.pipeline_uuid) AS pipeline_uuid,
        d.step['uuid'] AS step_uuid,
        coalesce(d.state['name'], '') AS state_name,
        coalesce(d.environment['name'], e.name, '') AS environment_name,
        coalesce(d.environment['environment_type']['name'], e.environment_type['name'], '') AS environment_type
    FROM bitbucket.deployments AS d
    INNER JOIN config.repositories AS r
        ON r.connection_id = d._connection_id AND r.repository_uuid = d._repository_uuid
    LEFT JOIN bitbucket.environments AS e
        ON e._connection_id = d._connection_id AND e._repository_uuid = d._repository_uuid
            AND e.uuid = d.environment['uuid']
    LEFT JOIN steps AS s
        ON s._connection_id = d._connection_id AND s._repository_uuid = d._repository_uuid
            AND s.uuid = d.step['uuid']
    WHERE r.cicd AND d.uuid IS NOT NULL
)

SELECT
    'bitbucket:BitbucketDeployment:' || conn || ':' || uuid AS id,
    coalesce('bitbucket:BitbucketPipeline:' || conn || ':' || pipeline_uuid, '') AS pipeline_id,
    coalesce('bitbucket:BitbucketPipelineStep:' || conn || ':' || step_uuid, '') AS task_id,
    CASE upper(environment_type)
        WHEN 'PRODUCTION' THEN 'PRODUCTION'
        WHEN 'STAGING' THEN 'STAGING'
        WHEN 'TEST' THEN 'TESTING'
        ELSE CASE upper(environment_name)
                WHEN 'PROD' THEN 'PRODUCTION'
                WHEN 'TEST' THEN 'TESTING'
                ELSE upper(environment_name)
            END
    END AS environment,
    environment_name AS original_environment,
    environment_type,
    upper(state_name) <> 'UNDEPLOYED' AS was_started,
    repo_id AS cicd_scope_id,
    raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_deployments' AS _raw_data_table
FROM named
