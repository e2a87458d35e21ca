-- Which commits belong to which repository?
--
-- Grain:  one row per repository and commit
-- Source: bitbucket.commits, bitbucket.pull_request_commits
--
-- Rules:
-- * Commits that only a pull request lists are rows too, as in DevLake; `reachable` distinguishes them:
--   true when the commits endpoint lists the commit, so a branch or tag leads to it.
--
-- incremental: repository by repo_id
WITH collected AS (
    SELECT
        1 AS reachable,
        _connection_id,
        _repository_uuid,
        hash
    FROM bitbucket.commits
    UNION ALL
    SELECT
        0 AS reachable,
        _connection_id,
        _repository_uuid,
        hash
    FROM bitbucket.pull_request_commits
),

once AS (
    SELECT
        _connection_id,
        _repository_uuid,
        hash,
        max(reachable) AS reachable
    FROM collected
    WHERE hash IS NOT NULL
    GROUP BY _connection_id, _repository_uuid, hash
)

SELECT
    r.repo_id,
    o.hash AS commit_sha,
    r.raw_data_params AS _raw_data_params,
    CASE WHEN o.reachable = 1 THEN '_raw_bitbucket_api_commits'
        ELSE '_raw_bitbucket_api_pull_request_commits'
    END AS _raw_data_table,
    o.reachable = 1 AS reachable
FROM once AS o
INNER JOIN config.repositories AS r
    ON r.connection_id = o._connection_id AND r.repository_uuid = o._repository_uuid
WHERE r.code
