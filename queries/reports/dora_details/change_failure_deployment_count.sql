-- How many deployments are there that could have failed?
-- Grain: one row per project
-- Dashboard: DORA Details - Change Failure Rate, Total number of deployments
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- Note: successes, and failures that are known to have done harm in production; DevLake counts successes.
WITH deployments AS (
    SELECT
        d.project_name,
        d.is_failed,
        d.recovery_seconds,
        d.incidents,
        d.devlake_has_incident,
        d.outcome
    FROM dora.deployments AS d
    WHERE (d.outcome = 'SUCCESS' OR d.is_failed)
        AND ($project IS NULL OR list_contains($project, d.project_name))
        AND ($repo IS NULL OR d.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR d.finished_date >= $from)
        AND ($to IS NULL OR d.finished_date < $to)
),

figures AS (
    SELECT
        d.project_name,
        count(*) AS n,
        count(*) FILTER (WHERE d.outcome = 'SUCCESS') AS successful,
        count(*) FILTER (WHERE d.is_failed) AS failed
    FROM deployments AS d
    GROUP BY d.project_name
)

SELECT
    f.project_name AS project,
    coalesce(x.n, 0) AS deployments,
    coalesce(x.successful, 0) AS successful,
    coalesce(x.failed, 0) AS "known to have failed",
    coalesce(f.reason, f.note, '') AS note
FROM metrics.dora AS f
LEFT JOIN figures AS x ON f.project_name = x.project_name
WHERE f.metric = 'change_failure_rate' AND f.period = 'all' AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name
