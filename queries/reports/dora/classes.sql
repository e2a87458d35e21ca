-- In which of DORA's bands is each project's figure of the window, and where does DevLake put it?
--
-- Grain:  one row per project and figure that the report has; nothing for a report without bands, such as 2025's
-- Source: metrics.dora and metrics.dora_classes, which has the rule; metrics.benchmarks says under provenance what was
--         compared with the published report
--
-- Rules:
-- * fit says whether the published band holds the figure ('inside'), or is the nearest to it ('nearest').
-- * Fewer rows than minimum_n behind a figure make no class.
-- * DevLake's class follows its own figures and thresholds, known for its reports 2021 and 2023.
-- param: project varchar[] = null   only these projects
-- param: report bigint = 2023       the year of the report: 2021 to 2024
WITH figures AS (
    SELECT
        project_name,
        metric,
        unit,
        value,
        n,
        reason,
        note,
        devlake_class_2021,
        devlake_class_2023
    FROM metrics.dora
    WHERE scope = 'project' AND period = 'all'
        AND ($project IS NULL OR list_contains($project, project_name))
),

bands AS (
    SELECT DISTINCT metric
    FROM metrics.benchmarks
    WHERE source = 'dora' AND year = $report
)

SELECT
    f.project_name AS project,
    f.metric,
    CASE f.unit WHEN 'seconds' THEN round(f.value / 36) / 100
        WHEN 'ratio' THEN round(10000 * f.value) / 100
        ELSE round(700 * f.value) / 100
    END AS value,
    CASE f.unit WHEN 'seconds' THEN 'hours' WHEN 'ratio' THEN '%' ELSE 'per week' END AS unit,
    f.n,
    t.class AS band,
    CASE WHEN f.reason IS NOT NULL THEN f.reason
        WHEN t.class IS NULL THEN 'too few for a class'
        WHEN coalesce(t.band_lower < t.band_upper, TRUE)
            AND coalesce(f.value >= t.band_lower, TRUE) AND coalesce(f.value <= t.band_upper, TRUE) THEN 'inside'
        ELSE 'nearest'
    END AS fit,
    CASE WHEN $report = 2021 THEN f.devlake_class_2021 WHEN $report = 2023 THEN f.devlake_class_2023 END AS devlake,
    coalesce(f.note, '') AS note
FROM figures AS f
INNER JOIN bands AS p ON p.metric = f.metric
LEFT JOIN metrics.dora_classes AS t
    ON t.year = $report AND t.metric = f.metric AND f.n >= t.minimum_n
        AND (t.lower IS NULL OR f.value > t.lower OR t.lower_inclusive AND f.value = t.lower)
        AND (t.upper IS NULL OR f.value < t.upper OR t.upper_inclusive AND f.value = t.upper)
        AND f.value IS NOT NULL
ORDER BY f.project_name, f.metric
