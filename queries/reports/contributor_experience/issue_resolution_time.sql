-- How long does it take to resolve an issue?
-- Grain: one row
-- Dashboard: Contributor Experience, Issue Resolution Time [Last Month]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- param: type varchar[] = null   only these issue types
-- Note: DevLake's window is the calendar month before today; here it is from `from` to before `to`. DevLake also takes
-- the repository's id from the text after the last dash, which cuts slugs.

WITH issues AS (
    SELECT
        i.id,
        i.status,
        i.lead_time_minutes
    FROM domain.issues AS i
    WHERE ($from IS NULL OR i.created_date >= $from)
        AND ($to IS NULL OR i.created_date < $to)
        AND (
            ($repo IS NULL AND $project IS NULL)
            OR i.id IN (
                SELECT bi.issue_id
                FROM domain.board_issues AS bi
                INNER JOIN domain.boards AS b ON b.id = bi.board_id
                LEFT JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.id
                WHERE ($repo IS NULL OR list_contains($repo, b.name))
                    AND ($project IS NULL OR list_contains($project, m.project_name))
            )
        )
        AND ($type IS NULL OR list_contains($type, i.type))
),

done AS (
    SELECT
        id,
        lead_time_minutes AS minutes
    FROM issues
    WHERE status = 'DONE'
)

SELECT
    (SELECT count(*) FROM issues) AS issues,
    count(*) AS resolved,
    round(sum(minutes) / 1440.0 / nullif(count(minutes), 0), 1) AS "mean days",
    round(median(minutes) / 1440.0, 1) AS "median days"
FROM done
