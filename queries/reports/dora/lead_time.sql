-- How long does a change take from its first commit to production, and how good is that?
-- Grain: one row per project
-- Dashboard: DORA, Median lead time for changes
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   deployed at or after this instant
-- param: to timestamp = null   deployed before this instant
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: DevLake takes the lower of two middle values, counts bots, leaves out the changes in an environment's first
-- deployment, and finds no deployment for Bitbucket's short merge hashes; a change counts here once it is in
-- production, and unless dora.project_pr_metrics.exclusion_reason says why not. Classes are DORA's (metrics.dora_classes).
-- DevLake's own figure and class are shown beside it, for the whole window and all repositories only.
WITH changes AS (
    SELECT
        p.project_name,
        p.lead_time_seconds AS seconds
    FROM dora.project_pr_metrics AS p
    WHERE p.exclusion_reason IS NULL AND p.lead_time_seconds IS NOT NULL
        AND ($project IS NULL OR list_contains($project, p.project_name))
        AND ($repo IS NULL OR p.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR p.deployed_date >= $from)
        AND ($to IS NULL OR p.deployed_date < $to)
),

figures AS (
    SELECT
        c.project_name,
        count(*) AS n,
        median(cast(c.seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(c.seconds AS double)) AS p90_seconds,
        sum(c.seconds) / cast(count(*) AS double) AS mean_seconds
    FROM changes AS c
    GROUP BY c.project_name
)

SELECT
    f.project_name AS project,
    coalesce(x.n, 0) AS changes,
    round(x.seconds / 360) / 10 AS "median h",
    round(x.p90_seconds / 360) / 10 AS "p90 h",
    round(x.mean_seconds / 360) / 10 AS "mean h",
    b.class,
    b.text AS benchmark,
    round(CASE
        WHEN $from IS NOT NULL OR $to IS NOT NULL OR $repo IS NOT NULL THEN NULL
        WHEN $report = 2021 THEN f.devlake_2021
        ELSE f.devlake_2023
    END / 6) / 10 AS "devlake h",
    CASE
        WHEN $from IS NOT NULL OR $to IS NOT NULL OR $repo IS NOT NULL THEN NULL
        WHEN $report = 2021 THEN f.devlake_class_2021
        ELSE f.devlake_class_2023
    END AS "devlake class",
    CASE
        WHEN f.reason IS NOT NULL THEN f.reason
        WHEN x.n IS NULL THEN 'no changes'
        WHEN b.class IS NULL THEN 'too few for a class'
        ELSE ''
    END AS note
FROM metrics.dora AS f
LEFT JOIN figures AS x ON f.project_name = x.project_name
LEFT JOIN metrics.dora_classes AS b
    ON b.year = $report AND b.metric = 'change_lead_time' AND x.n >= b.minimum_n
        AND (b.lower IS NULL OR x.seconds > b.lower OR b.lower_inclusive AND x.seconds = b.lower)
        AND (b.upper IS NULL OR x.seconds < b.upper OR b.upper_inclusive AND x.seconds = b.upper)
        AND x.seconds IS NOT NULL
WHERE f.metric = 'change_lead_time' AND f.period = 'all' AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name
