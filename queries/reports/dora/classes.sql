-- In which of DORA's bands is each project's figure of the window, and where does DevLake put it?
--
-- Grain:  one row per project and figure that the report has; nothing for a report without bands, such as 2025's
-- Source: metrics.dora and metrics.benchmarks (provenance there says what was compared with the published report)
--
-- Rules:
-- * Several clusters may share a band, and there may be gaps between bands: band names all that hold the figure, and
--   none where it lies between. Where a report gives one number for a cluster (5%), the nearest number's cluster is
--   named.
-- * Fewer rows than 5 behind a figure make no class.
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
    SELECT
        *,
        CASE band WHEN 'elite' THEN 1 WHEN 'high' THEN 2 WHEN 'medium' THEN 3 ELSE 4 END AS place
    FROM metrics.benchmarks
    WHERE source = 'dora' AND year = $report
),

compared AS (
    SELECT
        f.project_name,
        f.metric,
        b.band,
        b.place,
        b.text,
        CASE WHEN b.lower = b.upper THEN 'point'
            WHEN (b.lower IS NULL OR f.value > b.lower OR b.lower_inclusive AND f.value = b.lower)
                AND (b.upper IS NULL OR f.value < b.upper OR b.upper_inclusive AND f.value = b.upper) THEN 'inside'
            ELSE 'outside'
        END AS fit,
        min(CASE WHEN b.lower = b.upper THEN abs(f.value - b.lower) END) OVER (
            PARTITION BY f.project_name, f.metric
        ) AS nearest,
        CASE WHEN b.lower = b.upper THEN abs(f.value - b.lower) END AS distance
    FROM figures AS f
    INNER JOIN bands AS b ON b.metric = f.metric
    WHERE f.reason IS NULL AND f.n >= 5
),

fitting AS (
    SELECT
        project_name,
        metric,
        string_agg(band, ', ' ORDER BY place NULLS FIRST) AS bands,
        min(CASE WHEN fit = 'point' THEN 'nearest' ELSE 'inside' END) AS fit
    FROM compared
    WHERE fit = 'inside' OR fit = 'point' AND distance = nearest
    GROUP BY project_name, metric
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
    t.bands AS band,
    CASE WHEN f.reason IS NOT NULL THEN f.reason
        WHEN f.n < 5 THEN 'too few for a class'
        ELSE coalesce(t.fit, 'between bands')
    END AS fit,
    p.published,
    CASE WHEN $report = 2021 THEN f.devlake_class_2021 WHEN $report = 2023 THEN f.devlake_class_2023 END AS devlake,
    coalesce(f.note, '') AS note
FROM figures AS f
INNER JOIN (
    SELECT
        metric,
        string_agg(band || ': ' || text, '; ' ORDER BY place NULLS FIRST) AS published
    FROM bands
    GROUP BY metric
) AS p ON p.metric = f.metric
LEFT JOIN fitting AS t ON t.project_name = f.project_name AND t.metric = f.metric
ORDER BY f.project_name, f.metric
