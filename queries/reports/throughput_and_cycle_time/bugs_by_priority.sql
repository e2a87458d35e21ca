-- How many bugs of which priority are reported?
-- Grain: one row per period and priority
-- Dashboard: Engineering Throughput and Cycle Time, P0/P1 Bugs
-- param: project varchar[] = null   only these projects
-- param: priority varchar[] = null   only these priorities
-- param: from timestamp = null   reported at or after
-- param: to timestamp = null   reported before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: One row per priority, in Bitbucket's words: blocker, critical, major, minor, trivial. DevLake adds the
-- selected ones up.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH base AS (
    SELECT
        i.id,
        date_trunc($interval, i.created_date) AS bucket,
        i.priority
    FROM domain.issues AS i
    WHERE i.created_date IS NOT NULL
        AND i.type = 'BUG'
        AND ($priority IS NULL OR list_contains($priority, i.priority))
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
        priority,
        count(*) AS bugs
    FROM base GROUP BY bucket, priority
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
    f.priority,
    f.bugs,
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket, f.priority
