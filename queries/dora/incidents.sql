-- Which production deployment does each incident point at, and how long did recovery take?
--
-- Grain:  one row per project and issue of type INCIDENT
-- Source: domain.issues, domain.board_issues, domain.project_mapping, dora.deployments
--
-- Rules:
-- * The deployment is the project's last successful one that ended before the incident was opened, as DevLake has it.
-- * Recovery runs from the incident's creation to its resolution.
WITH incidents AS (
    SELECT m.project_name, i.id, i.created_date, i.resolution_date
    FROM domain.issues AS i
    JOIN domain.board_issues AS b ON b.issue_id = i.id
    JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.board_id
    WHERE i.type = 'INCIDENT' AND i.created_date IS NOT NULL
),
-- one line of time; an incident stands before a deployment that ended in the same instant, so it is not blamed on it
events AS (
    SELECT project_name, created_date AS moment, id AS incident_id, cast(NULL AS varchar) AS deployment_id, 0 AS place
    FROM incidents
    UNION ALL
    SELECT project_name, finished_date, cast(NULL AS varchar), deployment_id, 1
    FROM dora.deployments
    WHERE result = 'SUCCESS'
),
blamed AS (
    SELECT
        project_name, incident_id,
        last_value(deployment_id IGNORE NULLS) OVER (
            PARTITION BY project_name ORDER BY moment, place, deployment_id, incident_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS deployment_id
    FROM events
)
SELECT
    i.project_name,
    i.id AS incident_id,
    i.created_date,
    i.resolution_date,
    b.deployment_id,
    CASE WHEN i.resolution_date >= i.created_date
         THEN cast(ceil((extract(epoch FROM i.resolution_date) - extract(epoch FROM i.created_date)) / 60) AS bigint)
         END AS recovery_minutes
FROM incidents AS i
LEFT JOIN blamed AS b ON b.project_name = i.project_name AND b.incident_id = i.id
