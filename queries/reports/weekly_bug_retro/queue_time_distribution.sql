-- How are the outstanding bugs spread over age?
-- Grain: one row per age class
-- Dashboard: Weekly Bug Retro, Distribution of Bug Queue Time in Days [Outstanding Bugs]
-- param: project varchar[] = null   only issues of these projects
-- param: board varchar[] = null   only these boards, by name (workspace/slug)
-- param: type varchar[] = BUG   only these issue types
-- param: priority varchar[] = null   only these priorities
-- param: as_of timestamp = null   the moment to look at; the newest event of the issues when null
-- Note: DevLake draws one bar a bug, which is the list of outstanding_bugs_by_queue_time; this counts them by age.
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
    SELECT
        CASE
            WHEN extract(EPOCH FROM a.t) - extract(EPOCH FROM i.created_date) < 7 * 86400 THEN 1
            WHEN extract(EPOCH FROM a.t) - extract(EPOCH FROM i.created_date) < 14 * 86400 THEN 2
            WHEN extract(EPOCH FROM a.t) - extract(EPOCH FROM i.created_date) < 30 * 86400 THEN 3
            WHEN extract(EPOCH FROM a.t) - extract(EPOCH FROM i.created_date) < 90 * 86400 THEN 4
            WHEN extract(EPOCH FROM a.t) - extract(EPOCH FROM i.created_date) < 180 * 86400 THEN 5
            WHEN extract(EPOCH FROM a.t) - extract(EPOCH FROM i.created_date) < 365 * 86400 THEN 6
            ELSE 7
        END AS place
    FROM bugs AS i
    CROSS JOIN as_of AS a
    WHERE i.created_date <= a.t
        AND (i.status <> 'DONE' OR i.resolution_date > a.t)
),

classes AS (
    SELECT
        1 AS place,
        'under 7 days' AS age
    UNION ALL
    SELECT
        2,
        '7 to 13 days'
    UNION ALL
    SELECT
        3,
        '14 to 29 days'
    UNION ALL
    SELECT
        4,
        '30 to 89 days'
    UNION ALL
    SELECT
        5,
        '90 to 179 days'
    UNION ALL
    SELECT
        6,
        '180 to 364 days'
    UNION ALL
    SELECT
        7,
        '365 days and more'
)

SELECT
    c.age,
    count(g.place) AS bugs
FROM classes AS c
LEFT JOIN ages AS g ON g.place = c.place
GROUP BY c.place, c.age
ORDER BY c.place
