-- How long does it take until an incident is resolved?
-- Grain: one row per project
-- Dashboard: DORA Details - Time to Restore Service, 1 Median
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   resolved at or after this instant
-- param: to timestamp = null   resolved before this instant
-- Note: DevLake takes the lower of two middle values and counts a resolved incident without a time as unknown, before
-- all others; here the true median of those that have one.
WITH restored AS (
    SELECT
        i.project_name,
        i.recovery_seconds
    FROM dora.incidents AS i
    LEFT JOIN domain.incidents AS n ON i.incident_id = n.id
    WHERE i.recovery_seconds IS NOT NULL
        AND ($project IS NULL OR list_contains($project, i.project_name))
        AND (
            $repo IS NULL
            OR n.scope_id IN (SELECT b.id FROM domain.boards AS b WHERE list_contains($repo, b.name))
            OR i.deployment_id IN (
                SELECT d.deployment_id
                FROM dora.deployments AS d INNER JOIN domain.repos AS r ON d.repo_id = r.id
                WHERE list_contains($repo, r.name)
            )
        )
        AND ($from IS NULL OR i.resolution_date >= $from)
        AND ($to IS NULL OR i.resolution_date < $to)
),

figures AS (
    SELECT
        r.project_name,
        count(*) AS n,
        median(cast(r.recovery_seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(r.recovery_seconds AS double)) AS p90_seconds,
        sum(r.recovery_seconds) / cast(count(*) AS double) AS mean_seconds
    FROM restored AS r
    GROUP BY r.project_name
)

SELECT
    f.project_name AS project,
    coalesce(x.n, 0) AS incidents,
    round(x.seconds / 360) / 10 AS "median h",
    round(x.p90_seconds / 360) / 10 AS "p90 h",
    round(x.mean_seconds / 360) / 10 AS "mean h",
    CASE
        WHEN f.reason LIKE 'no incident source%' OR f.reason LIKE 'not collected%' THEN f.reason
        WHEN x.n IS NULL THEN 'no resolved incidents'
        ELSE ''
    END AS note
FROM metrics.dora AS f
LEFT JOIN figures AS x ON f.project_name = x.project_name
WHERE f.metric = 'failed_deployment_recovery_time' AND f.period = 'all' AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name
