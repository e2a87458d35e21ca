-- How many issues were reported?
-- Grain: one row
-- Dashboard: Weekly Community Retro, New Issue Count [Previous Week]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- param: type varchar[] = null   only these issue types
-- Note: DevLake's previous week is the eight days from Monday to Monday; here it is from `from` to before `to`.

WITH issues AS (
    SELECT
        i.id,
        i.creator_id
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
)

SELECT
    count(*) AS "new issues",
    count(DISTINCT nullif(creator_id, '')) AS reporters
FROM issues
