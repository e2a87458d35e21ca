-- Which commit and branch did a pipeline run for?
--
-- Grain:  one row per pipeline
-- Source: bitbucket.pipelines; bitbucket.repositories for the address
--
-- Rules:
-- * A pipeline for a pull request has no ref_name: its branch is the pull request's source (DevLake leaves it empty).
-- * target_branch is the destination of a pull request or a merge queue.
-- * A pipeline without a commit or target keeps its row, with empty parts.
--
-- incremental: repository by repo_id
WITH pipelines AS (
    SELECT
        p.*,
        r.full_name,
        r.repo_id,
        r.raw_data_params,
        cast(r.connection_id AS varchar) AS conn,
        coalesce(p.build_number, 0) AS number,
        coalesce(b.links['html']['href'], 'https://bitbucket.org/' || r.full_name) AS repo_url
    FROM bitbucket.pipelines AS p
    INNER JOIN config.repositories AS r
        ON r.connection_id = p._connection_id AND r.repository_uuid = p._repository_uuid
    LEFT JOIN bitbucket.repositories AS b
        ON b._connection_id = p._connection_id AND b._repository_uuid = p._repository_uuid
    WHERE r.cicd AND p.uuid IS NOT NULL
)

SELECT
    'bitbucket:BitbucketPipeline:' || conn || ':' || uuid AS pipeline_id,
    coalesce(target['commit']['hash'], '') AS commit_sha,
    coalesce(target['ref_name'], target['source'], '') AS branch,
    repo_id,
    repo_url,
    '#' || cast(number AS varchar) AS display_title,
    CASE WHEN number = 0 THEN '' ELSE repo_url || '/pipelines/results/' || cast(number AS varchar) END AS url,
    '' AS commit_msg,
    raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_pipelines' AS _raw_data_table,
    coalesce(target['ref_type'], '') AS ref_type,
    coalesce(target['destination'], target['target_branch'], '') AS target_branch
FROM pipelines
