-- How many critical defects are reported?
-- Grain: one row per period
-- Dashboard: Engineering Overview, Critical Defects
-- param: project varchar[] = null   only these projects
-- param: priority varchar[] = null   these priorities; critical and blocker when null
-- param: from timestamp = null   reported at or after
-- param: to timestamp = null   reported before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: The row `all` is the stat panel, the others are the chart. `partial` marks a period that `from` or `to` cuts,
-- or that is not collected as a whole; none is dropped, as DevLake drops the first.
WITH defects AS (
    SELECT date_trunc($interval, i.created_date) AS bucket
    FROM domain.issues AS i
    WHERE i.type = 'BUG'
        AND ($priority IS NULL AND i.priority IN ('critical', 'blocker') OR list_contains($priority, i.priority))
        AND i.created_date IS NOT NULL
        AND ($from IS NULL OR i.created_date >= $from)
        AND ($to IS NULL OR i.created_date < $to)
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
        count(*) AS defects
    FROM defects GROUP BY rollup (bucket)
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
    f.defects,
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY CASE WHEN f.bucket IS NULL THEN 0 ELSE 1 END, f.bucket
