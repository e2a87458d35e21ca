-- When was production deployed, when did it fail, and when was it mended?
--
-- Grain:  one row per project, finished deployment and production environment
-- Source: dora.deployments; config.buckets for the days
--
-- Rules:
-- * state is the first that holds of: failed (it is known to have failed in production), rollback, not in production (it
--   finished in FAILURE without a sign of harm), deployed.
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   only days that begin at or after this instant
-- param: to timestamp = null   only days that end by this instant
WITH days AS (
    SELECT
        project_name,
        min(period_start) AS begins,
        max(period_end) AS ends
    FROM config.buckets
    WHERE period = 'day'
        AND ($project IS NULL OR list_contains($project, project_name))
        AND ($from IS NULL OR period_start >= $from)
        AND ($to IS NULL OR period_end <= $to)
    GROUP BY project_name
)

SELECT
    d.project_name AS project,
    d.finished_date AS finished,
    coalesce(r.name, d.repo_id) AS repository,
    coalesce(nullif(c.display_title, ''), nullif(c.name, ''), d.deployment_id) AS deployment,
    d.environment,
    CASE
        WHEN d.is_failed THEN 'failed'
        WHEN d.kind = 'rollback' THEN 'rollback'
        WHEN d.outcome <> 'SUCCESS' THEN 'not in production'
        ELSE 'deployed'
    END AS state,
    d.recovered_date AS recovered,
    round(d.recovery_seconds / 360.0) / 10 AS "recovery h",
    d.url
FROM dora.deployments AS d
INNER JOIN days AS w ON w.project_name = d.project_name AND d.finished_date >= w.begins AND d.finished_date < w.ends
LEFT JOIN domain.repos AS r ON r.id = d.repo_id
LEFT JOIN domain.cicd_deployments AS c ON c.id = d.deployment_id
ORDER BY d.project_name, d.finished_date, d.deployment_id, d.environment
