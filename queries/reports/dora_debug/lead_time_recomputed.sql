-- Does the published lead time follow from the pull requests?
-- Grain: one row per project and period
-- Dashboard: DORA Debug, Lead Time for Changes, step 5: median per month
-- param: project varchar[] = null   only these projects
-- param: interval varchar = month   one of: day, week, month, all
-- Note: By the end of the deployment. `DevLake's h` is recomputed from pr_cycle_time over the project's own rows: the
-- lower of two middle values; the stored one joins the rows of other projects too, and shows months without as 0.
-- Periods are those of the project's time zone (config.buckets), so that each row can be laid beside its row of
-- metrics.dora. DevLake's stored figures are for months and all.
WITH ranked AS (
    SELECT
        b.project_name,
        b.period_start,
        x.pr_cycle_time AS minutes,
        row_number() OVER (
            PARTITION BY b.project_name, b.period_start ORDER BY x.pr_cycle_time NULLS FIRST, x.id
        ) AS place,
        count(*) OVER (PARTITION BY b.project_name, b.period_start) AS n
    FROM dora.project_pr_metrics AS x
    INNER JOIN config.buckets AS b
        ON b.project_name = x.project_name AND b.period = $interval
            AND x.pr_deployed_date >= b.period_start AND x.pr_deployed_date < b.period_end
    WHERE x.deployment_commit_id <> ''
),

devlake AS (
    SELECT
        project_name,
        period_start,
        n,
        minutes
    FROM ranked WHERE place = cast(floor((n + 1) / 2.0) AS bigint)
),

medians AS (
    SELECT
        b.project_name,
        b.period_start,
        count(*) AS n,
        median(cast(x.lead_time_seconds AS double)) AS seconds
    FROM dora.project_pr_metrics AS x
    INNER JOIN config.buckets AS b
        ON b.project_name = x.project_name AND b.period = $interval
            AND x.deployed_date >= b.period_start AND x.deployed_date < b.period_end
    WHERE x.exclusion_reason IS NULL AND x.lead_time_seconds IS NOT NULL
    GROUP BY b.project_name, b.period_start
)

SELECT
    b.project_name AS project,
    b.label AS period,
    coalesce(c.n, 0) AS changes,
    round(c.seconds / 360.0) / 10.0 AS "recomputed h",
    round(f.value / 360.0) / 10.0 AS "published h",
    coalesce(d.n, 0) AS "DevLake's changes",
    round(10 * d.minutes / 60.0) / 10.0 AS "DevLake's h",
    round(10 * f.devlake_2023 / 60.0) / 10.0 AS "DevLake's stored h",
    NOT b.is_complete AS partial,
    coalesce(f.reason, '') AS note
FROM config.buckets AS b
LEFT JOIN medians AS c ON c.project_name = b.project_name AND c.period_start = b.period_start
LEFT JOIN devlake AS d ON d.project_name = b.project_name AND d.period_start = b.period_start
LEFT JOIN metrics.dora AS f
    ON f.project_name = b.project_name AND f.scope = 'project' AND f.metric = 'change_lead_time'
        AND f.period = b.period AND f.period_start = b.period_start
WHERE b.period = $interval AND ($project IS NULL OR list_contains($project, b.project_name))
ORDER BY b.project_name, b.period_start
