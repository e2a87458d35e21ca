-- How old are the outstanding bugs?
-- Grain: one row
-- Dashboard: Weekly Bug Retro, Average Age of Outstanding Bugs in Days
-- param: project varchar[] = null   only issues of these projects
-- param: board varchar[] = null   only these boards, by name (workspace/slug)
-- param: type varchar[] = BUG   only these issue types
-- param: priority varchar[] = null   only these priorities
-- param: as_of timestamp = null   the moment to look at; the newest event of the issues when null
-- Note: DevLake uses the clock; here the time is a parameter, and a bug counts when it was reported by then and not yet
-- fixed. Status OTHER, such as on hold, is outstanding.
-- Note: issues that were refused (invalid, duplicate, wontfix) are left out; DevLake leaves out status REJECTED, which
-- Bitbucket's issues never get, and takes the board's id from the text after the last dash, which cuts slugs.

WITH as_of AS (
    SELECT coalesce($as_of, max(greatest(created_date, updated_date, resolution_date))) AS t
    FROM domain.issues
),

bugs AS (
    SELECT
        i.id,
        i.status,
        i.created_date,
        i.resolution_date
    FROM domain.issues AS i
    WHERE ($type IS NULL OR list_contains($type, i.type))
        AND ($priority IS NULL OR list_contains($priority, i.priority))
        AND i.status <> 'REJECTED'
        AND NOT (i.status = 'OTHER' AND i.original_status IN ('invalid', 'duplicate', 'wontfix'))
        AND (
            ($board IS NULL AND $project IS NULL)
            OR i.id IN (
                SELECT bi.issue_id
                FROM domain.board_issues AS bi
                INNER JOIN domain.boards AS b ON b.id = bi.board_id
                LEFT JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.id
                WHERE ($board IS NULL OR list_contains($board, b.name))
                    AND ($project IS NULL OR list_contains($project, m.project_name))
            )
        )
),

ages AS (
    SELECT cast(floor(extract(EPOCH FROM a.t) - extract(EPOCH FROM i.created_date)) AS bigint) AS seconds
    FROM bugs AS i
    CROSS JOIN as_of AS a
    WHERE i.created_date <= a.t
        AND (i.status <> 'DONE' OR i.resolution_date > a.t)
)

SELECT
    count(*) AS "outstanding bugs",
    round(sum(seconds) / 86400.0 / nullif(count(*), 0), 1) AS "mean days",
    round(median(seconds) / 86400.0, 1) AS "median days",
    round(max(seconds) / 86400.0, 1) AS "oldest days"
FROM ages
