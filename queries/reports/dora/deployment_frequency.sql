-- On how many days of a week, a month or half a year does each project deploy, and how good is that?
-- Grain: one row per project and repository
-- Dashboard: DORA, Deployment frequency
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: DevLake takes weeks and months cut by the window as whole ones, the lower of two middle values, and half a year
-- from one or two windows that it may find equal, which gives N/A; here medians over whole periods, half years rolling
-- by month, and no class where there is no whole period. Classes are DevLake's for these days. DevLake's own figure is
-- shown beside it, for the whole window and all repositories only.
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

six_months AS (
    SELECT
        p.project_name,
        p.scope_id,
        sum(p.days) OVER (
            PARTITION BY p.project_name, p.scope_id
            ORDER BY p.period_start NULLS FIRST ROWS BETWEEN 5 PRECEDING AND CURRENT ROW
        ) AS days,
        count(*) OVER (
            PARTITION BY p.project_name, p.scope_id
            ORDER BY p.period_start NULLS FIRST ROWS BETWEEN 5 PRECEDING AND CURRENT ROW
        ) AS months
    FROM periods AS p
    WHERE p.period = 'month'
),

rhythms AS (
    SELECT
        p.project_name,
        p.scope_id,
        sum(p.n) FILTER (WHERE p.period = 'day') AS deployments,
        sum(p.days) FILTER (WHERE p.period = 'day') AS days,
        median(cast(p.days AS double)) FILTER (WHERE p.period = 'week') AS per_week,
        median(cast(p.days AS double)) FILTER (WHERE p.period = 'month') AS per_month
    FROM periods AS p
    GROUP BY p.project_name, p.scope_id
),

half_years AS (
    SELECT
        s.project_name,
        s.scope_id,
        median(cast(s.days AS double)) AS per_six_months
    FROM six_months AS s
    WHERE s.months = 6
    GROUP BY s.project_name, s.scope_id
),

classes AS (
    SELECT
        r.project_name,
        r.scope_id,
        r.deployments,
        r.days,
        r.per_week,
        r.per_month,
        r.per_six_months,
        CASE
            WHEN r.per_week >= 5 THEN 'elite'
            WHEN $report = 2021
                THEN CASE
                        WHEN r.per_month >= 1 THEN 'high'
                        WHEN r.per_six_months >= 1 THEN 'medium'
                        WHEN r.per_six_months < 1 THEN 'low'
                    END
            WHEN r.per_week >= 1 THEN 'high'
            WHEN r.per_month >= 1 THEN 'medium'
            WHEN r.per_month < 1 THEN 'low'
        END AS class
    FROM (
        SELECT
            r.project_name,
            r.scope_id,
            r.deployments,
            r.days,
            r.per_week,
            r.per_month,
            h.per_six_months
        FROM rhythms AS r
        LEFT JOIN half_years AS h ON r.project_name = h.project_name AND r.scope_id = h.scope_id
    ) AS r
)

SELECT
    f.project_name AS project,
    CASE WHEN f.scope = 'repository' THEN f.scope_name ELSE '' END AS repository,
    coalesce(c.deployments, 0) AS deployments,
    coalesce(c.days, 0) AS "days with one",
    c.per_week AS "days per week",
    c.per_month AS "days per month",
    c.per_six_months AS "days per six months",
    c.class,
    CASE c.class
        WHEN 'elite' THEN b.elite WHEN 'high' THEN b.high WHEN 'medium' THEN b.medium WHEN 'low' THEN b.low
    END AS benchmark,
    CASE
        WHEN $from IS NOT NULL OR $to IS NOT NULL OR $repo IS NOT NULL THEN NULL
        WHEN $report = 2021 THEN f.devlake_2021
        ELSE f.devlake_2023
    END AS devlake,
    CASE
        WHEN $from IS NOT NULL OR $to IS NOT NULL OR $repo IS NOT NULL THEN NULL
        WHEN $report = 2021 THEN f.devlake_class_2021
        ELSE f.devlake_class_2023
    END AS "devlake class",
    coalesce(f.reason, '') AS note
FROM metrics.dora AS f
LEFT JOIN classes AS c ON f.project_name = c.project_name AND f.scope_id = c.scope_id
LEFT JOIN metrics.dora_benchmarks AS b ON b.metric = 'Deployment frequency' AND b.dora_report = cast($report AS varchar)
WHERE f.metric = 'deployment_frequency' AND f.period = 'all'
    AND (
        $repo IS NULL AND f.scope = 'project'
        OR f.scope = 'repository' AND list_contains($repo, f.scope_name)
    )
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name, f.scope_name, f.scope_id
