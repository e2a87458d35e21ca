-- Which branches and tags are there, and which commit do they point to?
--
-- Grain:  one row per branch or tag of a repository
-- Source: bitbucket.branches, bitbucket.tags; bitbucket.repositories for the main branch
--
-- Rules:
-- * Branches keep their short name, tags are `refs/tags/<name>`: one canonical name each (DevLake may
--   add `origin/<branch>` after a shallow fetch).
-- * A tag's created_date is its own date, or its commit's for a lightweight tag (DevLake has none, so
--   its order of tags is undefined). Bitbucket has no such time for branches: NULL.
--
-- incremental: repository by repo_id
WITH named AS (
    SELECT
        _connection_id,
        _repository_uuid,
        name,
        name AS short_name,
        'BRANCH' AS ref_type,
        target,
        NULL AS created_date,
        '_raw_bitbucket_api_branches' AS raw_data_table
    FROM bitbucket.branches
    UNION ALL
    SELECT
        _connection_id,
        _repository_uuid,
        'refs/tags/' || name AS name,
        NULL AS short_name,
        'TAG' AS ref_type,
        target,
        coalesce(date, target['date']) AS created_date,
        '_raw_bitbucket_api_tags' AS raw_data_table
    FROM bitbucket.tags
),

main_branches AS (
    SELECT
        _connection_id,
        _repository_uuid,
        mainbranch['name'] AS name
    FROM bitbucket.repositories
)

SELECT
    r.repo_id || ':' || n.name AS id,
    r.repo_id,
    n.name,
    coalesce(n.target['hash'], '') AS commit_sha,
    coalesce(n.short_name = m.name, FALSE) AS is_default,
    n.ref_type,
    n.created_date,
    r.raw_data_params AS _raw_data_params,
    n.raw_data_table AS _raw_data_table,
    n.target['date'] AS commit_date
FROM named AS n
INNER JOIN config.repositories AS r
    ON r.connection_id = n._connection_id AND r.repository_uuid = n._repository_uuid
LEFT JOIN main_branches AS m
    ON m._connection_id = n._connection_id AND m._repository_uuid = n._repository_uuid
WHERE r.code AND n.name IS NOT NULL
