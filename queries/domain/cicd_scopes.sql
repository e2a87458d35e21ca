-- Which repositories' pipelines and deployments are exported?
--
-- Grain:  one row per repository of config.repositories whose CI/CD is exported.
-- Source: config.repositories, bitbucket.repositories.
--
-- Rules:
-- * A scope depends on CI/CD being exported and on nothing else, so that a selection of CI/CD alone works.
-- * url is the page of the pipelines (DevLake gives the page of the issues).
-- * Its id is the repository's id; updated_date is null; both as in DevLake.
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
    WHERE cicd
)

SELECT
    s.repo_id AS id,
    s.full_name AS name,
    coalesce(r.description, '') AS description,
    coalesce(r.links['html']['href'] || '/pipelines', '') AS url,
    r.created_on AS created_date,
    cast(NULL AS timestamp) AS updated_date,
    s.raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_repositories' AS _raw_data_table,
    s.repository_uuid AS uuid
FROM selected AS s
LEFT JOIN bitbucket.repositories AS r
    ON r._connection_id = s.connection_id AND r._repository_uuid = s.repository_uuid
