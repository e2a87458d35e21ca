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
-- by month. The class is DORA's (metrics.dora_classes) for the deployments per week; with from or to, those of the
-- whole days between. DevLake's own figure and class are shown beside it, for the whole window and all repositories only.
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
        count(*) FILTER (WHERE p.period = 'day') AS calendar_days,
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

figures AS (
    SELECT
        f.project_name,
        f.scope_id,
        f.scope_name,
        f.scope,
        f.reason,
        f.devlake_2021,
        f.devlake_2023,
        f.devlake_class_2021,
        f.devlake_class_2023,
        coalesce(r.deployments, 0) AS deployments,
        coalesce(r.days, 0) AS days,
        r.per_week,
        r.per_month,
        h.per_six_months,
        CASE WHEN $from IS NULL AND $to IS NULL THEN f.n ELSE coalesce(r.deployments, 0) END AS n,
        CASE
            WHEN $from IS NULL AND $to IS NULL THEN f.value
            ELSE cast(r.deployments AS double) / nullif(r.calendar_days, 0)
        END AS value
    FROM metrics.dora AS f
    LEFT JOIN rhythms AS r ON r.project_name = f.project_name AND r.scope_id = f.scope_id
    LEFT JOIN half_years AS h ON h.project_name = f.project_name AND h.scope_id = f.scope_id
    WHERE f.metric = 'deployment_frequency' AND f.period = 'all'
        AND (
            $repo IS NULL AND f.scope = 'project'
            OR f.scope = 'repository' AND list_contains($repo, f.scope_name)
        )
        AND ($project IS NULL OR list_contains($project, f.project_name))
)

SELECT
    f.project_name AS project,
    CASE WHEN f.scope = 'repository' THEN f.scope_name ELSE '' END AS repository,
    f.deployments,
    f.days AS "days with one",
    f.per_week AS "days per week",
    f.per_month AS "days per month",
    f.per_six_months AS "days per six months",
    round(70 * f.value) / 10 AS "per week",
    b.class,
    b.text AS benchmark,
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
    CASE
        WHEN f.reason IS NOT NULL THEN f.reason
        WHEN f.value IS NULL THEN 'no whole day'
        WHEN b.class IS NULL THEN 'too few for a class'
        ELSE ''
    END AS note
FROM figures AS f
LEFT JOIN metrics.dora_classes AS b
    ON b.year = $report AND b.metric = 'deployment_frequency' AND f.n >= b.minimum_n
        AND (b.lower IS NULL OR f.value > b.lower OR b.lower_inclusive AND f.value = b.lower)
        AND (b.upper IS NULL OR f.value < b.upper OR b.upper_inclusive AND f.value = b.upper)
        AND f.value IS NOT NULL
ORDER BY f.project_name, f.scope_name, f.scope_id
