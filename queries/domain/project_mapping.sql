-- What belongs to a project?
--
-- Grain:  one row per project and row of repos, boards or cicd_scopes.
-- Source: config.project_repositories, domain.repos, domain.boards, domain.cicd_scopes.
--
-- Rules:
-- * A repository is mapped to the tables in which it has a row, so a mapping never refers to a missing row.
-- * _raw_data_params is the project's name, as in DevLake.

WITH scopes AS (
    SELECT
        'repos' AS scope_table,
        id
    FROM domain.repos
    UNION ALL
    SELECT
        'boards' AS scope_table,
        id
    FROM domain.boards
    UNION ALL
    SELECT
        'cicd_scopes' AS scope_table,
        id
    FROM domain.cicd_scopes
)

SELECT
    p.project_name,
    s.scope_table AS "table",
    s.id AS row_id,
    p.project_name AS _raw_data_params,
    '' AS _raw_data_table
FROM config.project_repositories AS p
INNER JOIN scopes AS s
    ON s.id = concat('bitbucket:BitbucketRepo:', cast(p.connection_id AS varchar), ':', p.full_name)
