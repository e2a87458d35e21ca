-- How many issues are reported, and how many completed?
-- Grain: one row per period
-- Dashboard: Engineering Throughput and Cycle Time, Issues Opened and Completed
-- param: project varchar[] = null   only these projects
-- param: type varchar[] = null   only these issue types
-- param: from timestamp = null   reported or resolved at or after
-- param: to timestamp = null   reported or resolved before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: An issue is completed in the period in which it was resolved. DevLake counts it in the period in which it was
-- reported.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH base AS (
    SELECT
        i.id,
        'opened' AS event,
        date_trunc($interval, i.created_date) AS bucket
    FROM domain.issues AS i
    WHERE i.created_date IS NOT NULL
        AND ($type IS NULL OR list_contains($type, i.type))
        AND ($from IS NULL OR i.created_date >= $from)
        AND ($to IS NULL OR i.created_date < $to)
        AND ($project IS NULL OR i.id IN (
            SELECT b.issue_id
            FROM domain.board_issues AS b
            INNER JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.board_id
            WHERE list_contains($project, m.project_name)
        ))
    UNION ALL
    SELECT
        i.id,
        'completed' AS event,
        date_trunc($interval, i.resolution_date) AS bucket
    FROM domain.issues AS i
    WHERE i.resolution_date IS NOT NULL
        AND i.status = 'DONE'
        AND ($type IS NULL OR list_contains($type, i.type))
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
        count(*) FILTER (WHERE event = 'opened') AS opened,
        count(*) FILTER (WHERE event = 'completed') AS completed
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
    f.opened,
    f.completed,
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket
