-- How many story points are completed?
-- Grain: one row per period
-- Dashboard: Engineering Throughput and Cycle Time, Story Points Completed
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   resolved at or after
-- param: to timestamp = null   resolved before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: Issues without story points are left out. Bitbucket has none: rows come only from issues that a [[table]]
-- provides.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH base AS (
    SELECT
        i.id,
        date_trunc($interval, i.resolution_date) AS bucket,
        cast(round(i.story_point * 100) AS bigint) AS hundredths
    FROM domain.issues AS i
    WHERE i.resolution_date IS NOT NULL
        AND i.status = 'DONE'
        AND i.story_point IS NOT NULL
        AND ($from IS NULL OR i.resolution_date >= $from)
        AND ($to IS NULL OR i.resolution_date < $to)
        AND ($project IS NULL OR i.id IN (
            SELECT b.issue_id
            FROM domain.board_issues AS b
            INNER JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.board_id
            WHERE list_contains($project, m.project_name)
        ))
),

figures AS (
    SELECT
        bucket,
        count(*) AS issues,
        sum(hundredths) / 100.0 AS points
    FROM base
    GROUP BY bucket
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS since,
        least(max(collected_until), $to) AS until
    FROM metrics.collected_windows
    WHERE $project IS NULL OR list_contains($project, project_name)
)

SELECT
    cast(f.bucket AS date) AS period,
    f.issues,
    f.points,
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket
