-- Which commits does a commit build on, and in which position?
--
-- Grain:  one row per commit and parent
-- Source: bitbucket.commits, bitbucket.pull_request_commits
--
-- Rules:
-- * A commit's parents are the same in every repository, so one record per hash is read: the one that
--   lists parents, from the commits endpoint first.
-- * parent_index is 0-based; parent 0 is the line that was merged into. A parent named twice counts once.
--
-- incremental: repository by _raw_data_params
WITH collected AS (
    SELECT
        1 AS preference,
        '_raw_bitbucket_api_commits' AS raw_data_table,
        _connection_id,
        _repository_uuid,
        hash,
        parents
    FROM bitbucket.commits
    UNION ALL
    SELECT
        2 AS preference,
        '_raw_bitbucket_api_pull_request_commits' AS raw_data_table,
        _connection_id,
        _repository_uuid,
        hash,
        parents
    FROM bitbucket.pull_request_commits
),

chosen AS (
    SELECT
        c.hash,
        c.parents,
        c.raw_data_table,
        r.raw_data_params
    FROM collected AS c
    INNER JOIN config.repositories AS r
        ON r.connection_id = c._connection_id AND r.repository_uuid = c._repository_uuid
    WHERE r.code AND c.hash IS NOT NULL AND array_length(c.parents) > 0
    QUALIFY row_number() OVER (
            PARTITION BY c.hash ORDER BY c.preference, r.connection_id, r.full_name
        ) = 1
),

positions AS (
    SELECT
        hash,
        parents,
        raw_data_table,
        raw_data_params,
        unnest(generate_series(1, cast(array_length(parents) AS bigint))) AS place
    FROM chosen
),

parents_by_position AS (
    SELECT
        hash,
        parents[place]['hash'] AS parent_hash,
        place - 1 AS parent_index,
        raw_data_table,
        raw_data_params
    FROM positions
)

SELECT
    hash AS commit_sha,
    parent_hash AS parent_commit_sha,
    raw_data_params AS _raw_data_params,
    raw_data_table AS _raw_data_table,
    parent_index
FROM parents_by_position
WHERE parent_hash IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY hash, parent_hash ORDER BY parent_index) = 1
