-- What share of pull requests names no issue?
-- Grain: one row per period
-- Dashboard: Engineering Overview, Unlinked PRs %
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   opened at or after
-- param: to timestamp = null   opened before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: DevLake's panel of this name shows the share that *is* linked; here it is the share without a link. A key of
-- an issue that was not collected is a link, too.
-- Note: The row `all` is the stat panel, the others are the chart. `partial` marks a period that `from` or `to` cuts,
-- or that is not collected as a whole; none is dropped, as DevLake drops the first.
WITH opened AS (
    SELECT
        date_trunc($interval, p.created_date) AS bucket,
        l.pull_request_id IS NULL AS unlinked
    FROM domain.pull_requests AS p
    LEFT JOIN (SELECT DISTINCT pull_request_id FROM domain.pull_request_issues) AS l ON l.pull_request_id = p.id
    WHERE p.created_date IS NOT NULL
        AND ($from IS NULL OR p.created_date >= $from)
        AND ($to IS NULL OR p.created_date < $to)
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
        count(*) AS opened,
        count(*) FILTER (WHERE unlinked) AS unlinked,
        round(1000.0 * count(*) FILTER (WHERE unlinked) / nullif(count(*), 0)) / 10.0 AS "unlinked %"
    FROM opened
    GROUP BY rollup (bucket)
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
    f.opened AS "pull requests",
    f.unlinked,
    f."unlinked %",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY CASE WHEN f.bucket IS NULL THEN 0 ELSE 1 END, f.bucket
