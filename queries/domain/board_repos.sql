-- Which repository does an issue tracker belong to?
--
-- Grain:  one row per repository that is in boards and in repos.
-- Source: domain.boards, domain.repos.
--
-- Rules:
-- * A tracker belongs to its own repository: both have the same id.
--
-- incremental: repository by repo_id

SELECT
    b.id AS board_id,
    r.id AS repo_id,
    r._raw_data_params AS _raw_data_params,
    r._raw_data_table AS _raw_data_table
FROM domain.boards AS b
INNER JOIN domain.repos AS r ON r.id = b.id
