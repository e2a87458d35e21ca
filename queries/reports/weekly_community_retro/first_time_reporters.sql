-- Who reported an issue for the first time?
-- Grain: one row per reporter
-- Dashboard: Weekly Community Retro, 1st Time Issue Reporter [Previous Week]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- param: type varchar[] = null   only these issue types
-- Note: a person is an account; DevLake compares names. The first issue is the first in any collected repository.
-- Note: DevLake's previous week is the eight days from Monday to Monday; here it is from `from` to before `to`.

WITH issues AS (
    SELECT
        i.id,
        i.creator_id,
        i.creator_name,
        i.created_date
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

firsts AS (
    SELECT
        creator_id,
        min(created_date) AS first_date
    FROM domain.issues
    WHERE creator_id <> '' AND NOT ends_with(creator_id, ':')
    GROUP BY creator_id
)

SELECT
    min(i.creator_name) AS reporter,
    f.first_date AS "first issue",
    count(*) AS issues
FROM issues AS i
INNER JOIN firsts AS f ON f.creator_id = i.creator_id
WHERE $from IS NULL OR f.first_date >= $from
GROUP BY f.creator_id, f.first_date
ORDER BY f.first_date, f.creator_id
