-- How many pull requests are merged?
-- Grain: one row per period
-- Dashboard: Engineering Overview, PRs Merged
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   merged at or after
-- param: to timestamp = null   merged before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: The row `all` is the stat panel, the others are the chart. `partial` marks a period that `from` or `to` cuts,
-- or that is not collected as a whole; none is dropped, as DevLake drops the first.
WITH merged AS (
    SELECT date_trunc($interval, p.merged_date) AS bucket
    FROM domain.pull_requests AS p
    WHERE p.merged_date IS NOT NULL
        AND ($from IS NULL OR p.merged_date >= $from)
        AND ($to IS NULL OR p.merged_date < $to)
        AND ($project IS NULL OR p.base_repo_id IN (
            SELECT m.row_id
            FROM domain.project_mapping AS m
            WHERE m."table" = 'repos' AND list_contains($project, m.project_name)
        ))
        AND ($repo IS NULL OR p.base_repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
),

figures AS (
    SELECT
        bucket,
        count(*) AS merged
    FROM merged GROUP BY rollup (bucket)
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS since,
        least(max(collected_until), $to) AS until
    FROM metrics.collected_windows
    WHERE $project IS NULL OR list_contains($project, project_name)
)

SELECT
    coalesce(cast(cast(f.bucket AS date) AS varchar), 'all') AS period,
    f.merged AS "pull requests merged",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY CASE WHEN f.bucket IS NULL THEN 0 ELSE 1 END, f.bucket
