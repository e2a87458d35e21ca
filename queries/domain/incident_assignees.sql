-- Who is an incident assigned to?
--
-- Grain:  one row per incident and assignee; one with an empty assignee where the incident itself has no assignee
-- Source: domain.incidents, domain.issue_assignees
--
-- Rules:
-- * The incident's own assignee, as in DevLake even when it is empty, and those of its issue.
--
-- incremental: repository by incident_id
WITH named AS (
    SELECT
        id AS incident_id,
        assignee_id,
        assignee_name,
        _raw_data_params,
        _raw_data_table,
        1 AS place
    FROM domain.incidents
    UNION ALL
    SELECT
        a.issue_id,
        a.assignee_id,
        a.assignee_name,
        a._raw_data_params,
        a._raw_data_table,
        2 AS place
    FROM domain.issue_assignees AS a
    WHERE a.issue_id IN (SELECT i.id FROM domain.incidents AS i)
)

SELECT
    incident_id,
    assignee_id,
    assignee_name,
    _raw_data_params,
    _raw_data_table
FROM named
QUALIFY row_number() OVER (PARTITION BY incident_id, assignee_id ORDER BY place, assignee_name) = 1
