-- Which of the fixed bugs took longest?
-- Grain: one row per bug
-- Dashboard: Weekly Bug Retro, Lead Time Distribution [Last Week's Resolved Bugs in Days]
-- param: project varchar[] = null   only issues of these projects
-- param: board varchar[] = null   only these boards, by name (workspace/slug)
-- param: type varchar[] = BUG   only these issue types
-- param: priority varchar[] = null   only these priorities
-- param: from timestamp = null   not before this; for a week, its Monday
-- param: to timestamp = null   before this; for a week, the next Monday
-- Note: DevLake's last week keeps the dashboard's time of day and counts a bug in two weeks when the times are equal;
-- here it is from the first instant of `from` to before `to`.
-- Note: issues that were refused (invalid, duplicate, wontfix) are left out; DevLake leaves out status REJECTED, which
-- Bitbucket's issues never get, and takes the board's id from the text after the last dash, which cuts slugs.

WITH bugs AS (
    SELECT
        i.id,
        i.issue_key,
        i.title,
        i.status,
        i.resolution_date,
        i.lead_time_minutes
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
)

SELECT
    concat('#', i.issue_key, ' ', i.title) AS bug,
    round(i.lead_time_minutes / 1440.0, 1) AS days
FROM bugs AS i
WHERE i.status = 'DONE'
    AND i.resolution_date IS NOT NULL
    AND ($from IS NULL OR i.resolution_date >= $from)
    AND ($to IS NULL OR i.resolution_date < $to)
ORDER BY i.lead_time_minutes DESC NULLS LAST, i.id
