-- On how many days of the half year up to each month was something deployed?
-- Grain: one row per project, repository and month in which six months end
-- Dashboard: DORA Details - Deployment Frequency, 5 Deployments per six months
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- Note: DevLake's title says deployments but its bars are days, and its first five bars hold less than half a year;
-- here those are `partial`, as is one whose last month was not over at the last run.
WITH months AS (
    SELECT
        f.project_name,
        f.scope,
        f.scope_id,
        f.scope_name,
        f.label,
        f.period_start,
        f.n,
        f.numerator AS days,
        f.is_complete
    FROM metrics.dora AS f
    WHERE f.metric = 'deployment_frequency' AND f.period = 'month' AND f.reason IS NULL
        AND (
            $repo IS NULL AND f.scope = 'project'
            OR f.scope = 'repository' AND list_contains($repo, f.scope_name)
        )
        AND ($project IS NULL OR list_contains($project, f.project_name))
        AND ($from IS NULL OR f.period_start >= $from)
        AND ($to IS NULL OR f.period_end <= $to)
),

half_years AS (
    SELECT
        m.project_name,
        m.scope,
        m.scope_id,
        m.scope_name,
        m.label,
        m.period_start,
        m.is_complete,
        sum(m.n) OVER (
            PARTITION BY m.project_name, m.scope_id
            ORDER BY m.period_start NULLS FIRST ROWS BETWEEN 5 PRECEDING AND CURRENT ROW
        ) AS n,
        sum(m.days) OVER (
            PARTITION BY m.project_name, m.scope_id
            ORDER BY m.period_start NULLS FIRST ROWS BETWEEN 5 PRECEDING AND CURRENT ROW
        ) AS days,
        count(*) OVER (
            PARTITION BY m.project_name, m.scope_id
            ORDER BY m.period_start NULLS FIRST ROWS BETWEEN 5 PRECEDING AND CURRENT ROW
        ) AS months
    FROM months AS m
)

SELECT
    m.project_name AS project,
    CASE WHEN m.scope = 'repository' THEN m.scope_name ELSE '' END AS repository,
    m.label AS "up to",
    m.n AS deployments,
    m.days AS "days with one",
    m.months,
    NOT m.is_complete OR m.months < 6 AS partial
FROM half_years AS m
ORDER BY m.project_name, m.scope_name, m.scope_id, m.period_start
