-- On how many days of a month does each project deploy, as a median?
-- Grain: one row per project and repository
-- Dashboard: DORA Details - Deployment Frequency, 7 Median deployment days per month
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- Note: DevLake counts months cut by the window too and takes the lower of two middle values; here whole months only
-- and the true median.
WITH periods AS (
    SELECT
        f.project_name,
        f.scope,
        f.scope_id,
        f.scope_name,
        f.period,
        f.period_start,
        f.n,
        f.numerator AS days
    FROM metrics.dora AS f
    WHERE f.metric = 'deployment_frequency' AND f.is_complete AND f.reason IS NULL
        AND (
            $repo IS NULL AND f.scope = 'project'
            OR f.scope = 'repository' AND list_contains($repo, f.scope_name)
        )
        AND ($project IS NULL OR list_contains($project, f.project_name))
        AND ($from IS NULL OR f.period_start >= $from)
        AND ($to IS NULL OR f.period_end <= $to)
),

medians AS (
    SELECT
        p.project_name,
        p.scope_id,
        median(cast(p.days AS double)) AS days,
        count(*) AS n
    FROM periods AS p
    WHERE p.period = 'month'
    GROUP BY p.project_name, p.scope_id
)

SELECT
    f.project_name AS project,
    CASE WHEN f.scope = 'repository' THEN f.scope_name ELSE '' END AS repository,
    m.days AS "days per month",
    coalesce(m.n, 0) AS "months",
    coalesce(f.reason, '') AS note
FROM metrics.dora AS f
LEFT JOIN medians AS m ON f.project_name = m.project_name AND f.scope_id = m.scope_id
WHERE f.metric = 'deployment_frequency' AND f.period = 'all'
    AND (
        $repo IS NULL AND f.scope = 'project'
        OR f.scope = 'repository' AND list_contains($repo, f.scope_name)
    )
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name, f.scope_name, f.scope_id
