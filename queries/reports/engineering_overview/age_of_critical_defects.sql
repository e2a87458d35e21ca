-- How old are the critical defects that are still open?
-- Grain: one row per priority
-- Dashboard: Engineering Overview, Average Age of Outstanding Critical Defects
-- param: project varchar[] = null   only these projects
-- param: priority varchar[] = null   these priorities; critical and blocker when null
-- param: as_of timestamp = null   the moment to look at; the end of what is collected when null
-- Note: A defect is outstanding from its report until it is done, also while somebody works on it or it is on hold;
-- DevLake counts status TODO only, and asks the clock. Refused ones (invalid, duplicate, wontfix) do not count.
WITH moment AS (
    SELECT coalesce(
        $as_of,
        (SELECT max(b.period_end) FROM config.buckets AS b WHERE b.period = 'day' AND b.is_complete),
        (SELECT max(i.updated_date) FROM domain.issues AS i)
    ) AS seen
),

outstanding AS (
    SELECT
        i.priority,
        cast(floor(extract(EPOCH FROM n.seen) - extract(EPOCH FROM i.created_date)) AS bigint) AS seconds
    FROM domain.issues AS i
    CROSS JOIN moment AS n
    WHERE i.type = 'BUG'
        AND ($priority IS NULL AND i.priority IN ('critical', 'blocker') OR list_contains($priority, i.priority))
        AND i.created_date <= n.seen
        AND (i.status <> 'DONE' OR i.resolution_date > n.seen)
        AND i.status <> 'REJECTED'
        AND NOT (i.status = 'OTHER' AND i.original_status IN ('invalid', 'duplicate', 'wontfix'))
        AND ($project IS NULL OR i.id IN (
            SELECT b.issue_id
            FROM domain.board_issues AS b
            INNER JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.board_id
            WHERE list_contains($project, m.project_name)
        ))
)

SELECT
    priority,
    count(*) AS outstanding,
    round(sum(seconds) / 8640.0 / nullif(count(*), 0)) / 10.0 AS "mean age in days",
    round(median(cast(seconds AS double)) / 8640.0) / 10.0 AS "median age in days",
    round(max(seconds) / 8640.0) / 10.0 AS "oldest in days"
FROM outstanding
GROUP BY priority
ORDER BY priority
