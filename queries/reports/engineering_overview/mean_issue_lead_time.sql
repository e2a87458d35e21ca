-- How long does an issue take from report to resolution?
-- Grain: one row per period
-- Dashboard: Engineering Overview, Mean Issue Lead Time
-- param: project varchar[] = null   only these projects
-- param: type varchar[] = null   only these issue types, such as REQUIREMENT
-- param: from timestamp = null   resolved at or after
-- param: to timestamp = null   resolved before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: Both the total and the periods obey `type`; DevLake's chart counts every type though its title says
-- Requirement. An issue counts once, whatever number of boards or projects it is in.
-- Note: The row `all` is the stat panel, the others are the chart. `partial` marks a period that `from` or `to` cuts,
-- or that is not collected as a whole; none is dropped, as DevLake drops the first.
WITH resolved AS (
    SELECT
        date_trunc($interval, i.resolution_date) AS bucket,
        i.lead_time_minutes AS minutes
    FROM domain.issues AS i
    WHERE i.status = 'DONE'
        AND i.lead_time_minutes IS NOT NULL
        AND i.resolution_date IS NOT NULL
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
        count(*) AS issues,
        round(sum(minutes) / 144.0 / nullif(count(*), 0)) / 10.0 AS "mean days",
        round(median(cast(minutes AS double)) / 144.0) / 10.0 AS "median days"
    FROM resolved
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
    f.issues,
    f."mean days",
    f."median days",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY CASE WHEN f.bucket IS NULL THEN 0 ELSE 1 END, f.bucket
