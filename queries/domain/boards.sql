-- Which issue trackers are exported?
--
-- Grain:  one row per repository of config.repositories whose issues are exported: its tracker is the board.
-- Source: config.repositories, bitbucket.repositories.
--
-- Rules:
-- * A board depends on the issues being exported and on nothing else, so that a selection of issues alone works.
-- * Its id is the repository's id, as in DevLake.
--
-- incremental: repository by id

WITH selected AS (
    SELECT
        connection_id,
        repository_uuid,
        full_name,
        repo_id,
        raw_data_params
    FROM config.repositories
    WHERE issues
)

SELECT
    s.repo_id AS id,
    s.full_name AS name,
    coalesce(r.description, '') AS description,
    coalesce(r.links['html']['href'] || '/issues', '') AS url,
    r.created_on AS created_date,
    '' AS type,
    s.raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_repositories' AS _raw_data_table,
    s.repository_uuid AS uuid
FROM selected AS s
LEFT JOIN bitbucket.repositories AS r
    ON r._connection_id = s.connection_id AND r._repository_uuid = s.repository_uuid
