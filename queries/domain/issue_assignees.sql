-- Who is an issue assigned to?
--
-- Grain:  one row per issue that has an assignee now (Bitbucket knows one assignee at most).
-- Source: domain.issues.
--
-- Rules:
-- * A reassignment removes the earlier assignee (DevLake keeps both); domain.issue_changelogs has the history.
--
-- incremental: repository by issue_id

SELECT
    id AS issue_id,
    assignee_id,
    assignee_name,
    _raw_data_params,
    _raw_data_table
FROM domain.issues
WHERE assignee_id <> ''
