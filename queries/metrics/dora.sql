-- How does each project deliver: how often, how fast, how safely?
--
-- Grain:  one row per project and period: each UTC month that has any event, and 'all'
-- Source: dora.deployments, dora.changes, dora.incidents, config (is there an incident source at all?)
--
-- Rules:
-- * deployments counts successful production deployments, by the month they ended.
-- * Lead time is the exact median over the changes deployed in the period.
-- * A deployment failed when an incident points at it; change_failure_rate is failed over successful deployments.
--   A project without an incident source has no rate and no recovery time, and the reason: 0 would be a claim.
--   A repository whose issue tracker is absent (Bitbucket has removed it) is no source.
-- * Recovery is the exact median over the period's resolved incidents, by the month they were opened.
WITH blamed AS (
    SELECT DISTINCT project_name, deployment_id FROM dora.incidents WHERE deployment_id IS NOT NULL
),
deployments AS (
    SELECT
        d.project_name, d.deployment_id, d.finished_date,
        substr(cast(d.finished_date AS varchar), 1, 7) AS month,
        b.deployment_id IS NOT NULL AS failed
    FROM dora.deployments AS d
    LEFT JOIN blamed AS b ON b.project_name = d.project_name AND b.deployment_id = d.deployment_id
    WHERE d.result = 'SUCCESS'
),
deployments_by_period AS (
    SELECT
        project_name, p.period, count(*) AS deployments,
        count(DISTINCT cast(finished_date AS date)) AS deployment_days,
        count(*) FILTER (WHERE failed) AS failed_deployments
    FROM (SELECT *, unnest(['all', month]) AS period FROM deployments) AS p
    GROUP BY project_name, p.period
),
changes_by_period AS (
    SELECT
        project_name, c.period, count(*) AS changes, median(lead_time_minutes) AS median_lead_time_minutes
    FROM (
        SELECT *, unnest(['all', substr(cast(deployed_date AS varchar), 1, 7)]) AS period
        FROM dora.changes
        WHERE deployed_date IS NOT NULL
    ) AS c
    GROUP BY project_name, c.period
),
incidents_by_period AS (
    SELECT
        project_name, i.period, count(*) AS incidents, median(recovery_minutes) AS median_recovery_minutes
    FROM (
        SELECT *, unnest(['all', substr(cast(created_date AS varchar), 1, 7)]) AS period FROM dora.incidents
    ) AS i
    GROUP BY project_name, i.period
),
-- a repository that has issues, under rules that make some of them incidents; or incidents from wherever they came
incident_sources AS (
    SELECT m.project_name
    FROM config.project_repositories AS m
    JOIN config.repositories AS r ON r.connection_id = m.connection_id AND r.full_name = m.full_name
    JOIN config.issue_types AS t ON t.rules = r.rules
    WHERE r.issues AND t.type = 'INCIDENT'
      AND NOT EXISTS (
          SELECT 1
          FROM config.completeness AS c
          WHERE c.connection_id = r.connection_id AND c.repository_uuid = r.repository_uuid
            AND c.entity = 'issues' AND c.status = 'absent'
      )
    UNION
    SELECT project_name FROM dora.incidents
),
periods AS (
    SELECT name AS project_name, 'all' AS period FROM config.projects
    UNION SELECT project_name, period FROM deployments_by_period
    UNION SELECT project_name, period FROM changes_by_period
    UNION SELECT project_name, period FROM incidents_by_period
)
SELECT
    p.project_name,
    p.period,
    coalesce(d.deployments, 0) AS deployments,
    coalesce(d.deployment_days, 0) AS deployment_days,
    coalesce(c.changes, 0) AS changes,
    c.median_lead_time_minutes,
    CASE WHEN s.project_name IS NOT NULL THEN coalesce(d.failed_deployments, 0) END AS failed_deployments,
    CASE WHEN s.project_name IS NOT NULL
         THEN cast(d.failed_deployments AS double) / nullif(d.deployments, 0) END AS change_failure_rate,
    CASE WHEN s.project_name IS NOT NULL THEN coalesce(i.incidents, 0) END AS incidents,
    i.median_recovery_minutes,
    CASE WHEN s.project_name IS NULL THEN 'no incident source'
         WHEN d.deployments IS NULL THEN 'no deployments' END AS reason
FROM periods AS p
LEFT JOIN deployments_by_period AS d ON d.project_name = p.project_name AND d.period = p.period
LEFT JOIN changes_by_period AS c ON c.project_name = p.project_name AND c.period = p.period
LEFT JOIN incidents_by_period AS i ON i.project_name = p.project_name AND i.period = p.period
LEFT JOIN incident_sources AS s ON s.project_name = p.project_name
