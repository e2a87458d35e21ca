-- What share of planned issues is kept in the sprint it was planned for?
-- Grain: one row per period
-- Dashboard: Engineering Overview, On-Time Delivery
-- param: project varchar[] = null   only these projects
-- param: type varchar[] = null   only these issue types
-- param: from timestamp = null   reported at or after
-- param: to timestamp = null   reported before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: Only issues that the change log shows in a sprint count, and where none was moved the figure is 100; DevLake
-- divides by all issues and shows nothing when no issue was moved.
-- Note: Bitbucket has no sprints: rows come only from issues and change logs that a [[table]] provides.
-- Note: The row `all` is the stat panel, the others are the chart. `partial` marks a period that `from` or `to` cuts,
-- or that is not collected as a whole; none is dropped, as DevLake drops the first.
WITH sprints AS (
    SELECT
        g.issue_id,
        bool_or(
            g.original_from_value <> '' AND g.original_to_value <> '' AND g.original_from_value <> g.original_to_value
        )
            AS moved
    FROM domain.issue_changelogs AS g
    WHERE g.field_name = 'Sprint'
    GROUP BY g.issue_id
),

planned AS (
    SELECT
        date_trunc($interval, i.created_date) AS bucket,
        s.moved
    FROM domain.issues AS i
    INNER JOIN sprints AS s ON s.issue_id = i.id
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
),

figures AS (
    SELECT
        bucket,
        count(*) AS issues,
        count(*) FILTER (WHERE moved) AS moved,
        round(1000.0 * count(*) FILTER (WHERE NOT moved) / nullif(count(*), 0)) / 10.0 AS "on time %"
    FROM planned
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
    f.moved,
    f."on time %",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
WHERE f.issues > 0
ORDER BY CASE WHEN f.bucket IS NULL THEN 0 ELSE 1 END, f.bucket
