-- How does each project stand in DORA's four figures, and in which class?
-- Grain: one row per project and figure
-- Dashboard: DORA, Overall DORA metrics
-- param: project varchar[] = null   only these projects
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: over the whole window; the panels of the single figures take from, to and repo. DevLake finds the class by
-- comparing texts, so a figure without data fills no cell; here such a row has a note. Classes are DevLake's thresholds
-- for this report, by bitlake's figures; DevLake's own figure and class stand beside. The last figure is failed
-- deployment recovery time (2023) or time to restore service (2021).
WITH periods AS (
    SELECT
        f.project_name,
        f.scope_id,
        f.period,
        f.period_start,
        f.n,
        f.numerator AS days
    FROM metrics.dora AS f
    WHERE f.metric = 'deployment_frequency' AND f.is_complete AND f.reason IS NULL AND f.scope = 'project'
        AND ($project IS NULL OR list_contains($project, f.project_name))
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
        r.per_week,
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
            r.per_week,
            r.per_month,
            h.per_six_months
        FROM rhythms AS r
        LEFT JOIN half_years AS h ON r.project_name = h.project_name AND r.scope_id = h.scope_id
    ) AS r
),

restored AS (
    SELECT
        i.project_name,
        count(*) AS n,
        median(cast(i.recovery_seconds AS double)) AS seconds
    FROM dora.incidents AS i
    WHERE i.recovery_seconds IS NOT NULL AND i.resolution_date IS NOT NULL
    GROUP BY i.project_name
),

figures AS (
    SELECT
        f.project_name,
        f.metric,
        CASE WHEN f.metric = 'failed_deployment_recovery_time' AND $report = 2021 THEN coalesce(r.n, 0) ELSE f.n END
            AS n,
        CASE WHEN f.metric = 'failed_deployment_recovery_time' AND $report = 2021 THEN r.seconds ELSE f.value END
            AS value,
        c.per_week,
        CASE WHEN f.metric = 'deployment_frequency' THEN c.class END AS class,
        CASE WHEN $report = 2021 THEN f.devlake_2021 ELSE f.devlake_2023 END AS devlake,
        CASE WHEN $report = 2021 THEN f.devlake_class_2021 ELSE f.devlake_class_2023 END AS devlake_class,
        CASE
            WHEN f.metric <> 'failed_deployment_recovery_time' OR $report = 2023
                OR f.reason LIKE 'no incident source%' OR f.reason LIKE 'not collected%' THEN f.reason
            WHEN r.n IS NULL THEN 'no resolved incidents'
        END AS reason,
        f.note,
        CASE f.metric
            WHEN 'deployment_frequency' THEN 'Deployment frequency'
            WHEN 'change_lead_time' THEN 'Lead time for changes'
            WHEN 'change_failure_rate' THEN 'Change failure rate'
            ELSE CASE WHEN $report = 2021 THEN 'Time to restore service' ELSE 'Failed deployment recovery time' END
        END AS title,
        CASE f.metric
            WHEN 'deployment_frequency' THEN 1 WHEN 'change_lead_time' THEN 2 WHEN 'change_failure_rate' THEN 3 ELSE 4
        END AS place
    FROM metrics.dora AS f
    LEFT JOIN classes AS c ON f.project_name = c.project_name
    LEFT JOIN restored AS r ON f.project_name = r.project_name
    WHERE f.scope = 'project' AND f.period = 'all' AND f.metric <> 'deployment_rework_rate'
        AND ($project IS NULL OR list_contains($project, f.project_name))
),

classified AS (
    SELECT
        f.project_name,
        f.title,
        f.place,
        f.metric,
        f.n,
        f.value,
        f.per_week,
        f.devlake,
        f.devlake_class,
        f.reason,
        f.note,
        coalesce(f.class, b.band) AS class
    FROM figures AS f
    LEFT JOIN metrics.benchmarks AS b
        ON f.metric <> 'deployment_frequency' AND b.source = 'devlake' AND b.year = $report AND f.metric = b.metric
            AND (b.lower IS NULL OR f.value > b.lower OR b.lower_inclusive AND f.value = b.lower)
            AND (b.upper IS NULL OR f.value < b.upper OR b.upper_inclusive AND f.value = b.upper)
            AND f.value IS NOT NULL
)

SELECT
    c.project_name AS project,
    c.title AS figure,
    round(10 * CASE
        WHEN c.metric = 'deployment_frequency' THEN c.per_week
        WHEN c.metric = 'change_failure_rate' THEN 100 * c.value
        ELSE c.value / 3600
    END) / 10 AS value,
    CASE
        WHEN c.metric = 'deployment_frequency' THEN 'days per week'
        WHEN c.metric = 'change_failure_rate' THEN '%'
        ELSE 'h'
    END AS unit,
    c.n,
    c.class AS class,
    CASE c.class
        WHEN 'elite' THEN b.elite WHEN 'high' THEN b.high WHEN 'medium' THEN b.medium WHEN 'low' THEN b.low
    END AS benchmark,
    CASE
        WHEN c.metric = 'deployment_frequency' THEN c.devlake
        WHEN c.metric = 'change_failure_rate' THEN round(1000 * c.devlake) / 10
        ELSE round(c.devlake / 6) / 10
    END AS devlake,
    c.devlake_class AS "devlake class",
    coalesce(c.reason, c.note, '') AS note
FROM classified AS c
LEFT JOIN metrics.dora_benchmarks AS b ON c.title = b.metric AND b.dora_report = cast($report AS varchar)
ORDER BY c.project_name, c.place
