-- How does finished work divide into defects, work of an epic and other work?
-- Grain: one row per period
-- Dashboard: Engineering Overview, Work Done %
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   resolved at or after
-- param: to timestamp = null   resolved before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A defect counts as a defect only, also where it has an epic. Bitbucket has no epics: a [[table]] may provide
-- them.
-- Note: The row `all` is the stat panel, the others are the chart. `partial` marks a period that `from` or `to` cuts,
-- or that is not collected as a whole; none is dropped, as DevLake drops the first.
WITH resolved AS (
    SELECT
        date_trunc($interval, i.resolution_date) AS bucket,
        CASE WHEN i.type = 'BUG' THEN 'defect' WHEN i.epic_key <> '' THEN 'epic' ELSE 'other' END AS kind
    FROM domain.issues AS i
    WHERE i.status = 'DONE'
        AND i.resolution_date IS NOT NULL
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
        round(1000.0 * count(*) FILTER (WHERE kind = 'defect') / nullif(count(*), 0)) / 10.0 AS "defects %",
        round(1000.0 * count(*) FILTER (WHERE kind = 'epic') / nullif(count(*), 0)) / 10.0 AS "epics %",
        round(1000.0 * count(*) FILTER (WHERE kind = 'other') / nullif(count(*), 0)) / 10.0 AS "other %"
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
    f.issues AS "issues resolved",
    f."defects %",
    f."epics %",
    f."other %",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY CASE WHEN f.bucket IS NULL THEN 0 ELSE 1 END, f.bucket
