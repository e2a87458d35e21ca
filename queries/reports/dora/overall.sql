-- How does each project stand in DORA's four figures, and in which class?
-- Grain: one row per project and figure
-- Dashboard: DORA, Overall DORA metrics
-- param: project varchar[] = null   only these projects
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: over the whole window; the panels of the single figures take from, to and repo. DevLake finds the class by
-- comparing texts, so a figure without data fills no cell; here such a row has a note. Classes are DORA's for this report
-- (metrics.dora_classes), the same as in dora/classes; DevLake's own figure and class stand beside. The last figure is
-- failed deployment recovery time (2023) or time to restore service (2021).
WITH restored AS (
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
        f.devlake,
        f.devlake_class,
        f.reason,
        f.note,
        b.class,
        b.text AS benchmark
    FROM figures AS f
    LEFT JOIN metrics.dora_classes AS b
        ON b.year = $report AND f.metric = b.metric AND f.n >= b.minimum_n
            AND (b.lower IS NULL OR f.value > b.lower OR b.lower_inclusive AND f.value = b.lower)
            AND (b.upper IS NULL OR f.value < b.upper OR b.upper_inclusive AND f.value = b.upper)
            AND f.value IS NOT NULL
)

SELECT
    c.project_name AS project,
    c.title AS figure,
    round(10 * CASE
        WHEN c.metric = 'deployment_frequency' THEN 7 * c.value
        WHEN c.metric = 'change_failure_rate' THEN 100 * c.value
        ELSE c.value / 3600
    END) / 10 AS value,
    CASE
        WHEN c.metric = 'deployment_frequency' THEN 'per week'
        WHEN c.metric = 'change_failure_rate' THEN '%'
        ELSE 'h'
    END AS unit,
    c.n,
    c.class,
    c.benchmark,
    CASE
        WHEN c.metric = 'deployment_frequency' THEN c.devlake
        WHEN c.metric = 'change_failure_rate' THEN round(1000 * c.devlake) / 10
        ELSE round(c.devlake / 6) / 10
    END AS devlake,
    c.devlake_class AS "devlake class",
    CASE
        WHEN c.reason IS NOT NULL THEN c.reason
        WHEN c.class IS NULL THEN 'too few for a class' || coalesce('; ' || c.note, '')
        ELSE coalesce(c.note, '')
    END AS note
FROM classified AS c
ORDER BY c.project_name, c.place
