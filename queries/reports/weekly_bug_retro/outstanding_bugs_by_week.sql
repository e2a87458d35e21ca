-- How many bugs are outstanding at the end of each week?
-- Grain: one row per period
-- Dashboard: Weekly Bug Retro, Total Outstanding Bug Count by Week [Selected Time Range]
-- param: project varchar[] = null   only issues of these projects
-- param: board varchar[] = null   only these boards, by name (workspace/slug)
-- param: type varchar[] = BUG   only these issue types
-- param: priority varchar[] = null   only these priorities
-- param: from timestamp = null   not before this
-- param: to timestamp = null   before this
-- param: interval varchar = week   one of: day, week, month, quarter, year
-- Note: each number counts every bug reported and not yet fixed when the bucket ends, or at `to`; DevLake adds the
-- window's changes to a start that misses bugs fixed after the window and weeks that it does not show.
-- Note: buckets are labelled by their first day, a week by its Monday, and cover the window; DevLake shows the six
-- months before the window's end whatever its beginning, and ends the label seven days after the Monday.
-- Note: issues that were refused (invalid, duplicate, wontfix) are left out; DevLake leaves out status REJECTED, which
-- Bitbucket's issues never get, and takes the board's id from the text after the last dash, which cuts slugs.

WITH RECURSIVE bugs AS (
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

events AS (
    SELECT
        i.created_date AS happened,
        1 AS reported,
        0 AS fixed
    FROM bugs AS i
    WHERE i.created_date IS NOT NULL
    UNION ALL
    SELECT
        i.resolution_date,
        0,
        1
    FROM bugs AS i
    WHERE i.status = 'DONE' AND i.created_date IS NOT NULL AND i.resolution_date IS NOT NULL
),

bounds AS (
    SELECT
        date_trunc($interval, coalesce($from, min(e.happened))) AS lo,
        coalesce($to, max(e.happened)) AS hi
    FROM events AS e
),

days (d, last_d) AS (
    SELECT
        b.lo AS d,
        b.hi AS last_d
    FROM bounds AS b
    WHERE b.lo <= b.hi
    UNION ALL
    SELECT
        s.d + interval '1 day' AS d,
        s.last_d
    FROM days AS s
    WHERE s.d + interval '1 day' <= s.last_d
),

periods AS (
    SELECT DISTINCT date_trunc($interval, s.d) AS period
    FROM days AS s
    WHERE $to IS NULL OR s.d < $to
),

counts AS (
    SELECT
        date_trunc($interval, e.happened) AS period,
        sum(e.reported) AS reported,
        sum(e.fixed) AS fixed
    FROM events AS e
    WHERE $to IS NULL OR e.happened < $to
    GROUP BY date_trunc($interval, e.happened)
)

SELECT
    cast(p.period AS date) AS period,
    coalesce(sum(c.reported), 0) - coalesce(sum(c.fixed), 0) AS "outstanding bugs"
FROM periods AS p
LEFT JOIN counts AS c ON c.period <= p.period
GROUP BY p.period
ORDER BY period
