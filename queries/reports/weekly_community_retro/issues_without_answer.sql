-- Which new issues have no answer?
-- Grain: one row per issue
-- Dashboard: Weekly Community Retro, List of New Community Issues with no Comments [Previous Week]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- param: type varchar[] = null   only these issue types
-- param: as_of timestamp = null   the moment to look at; the newest event of the table when null
-- Note: DevLake leaves out authors of the chosen organizations; Bitbucket provides no organization, so all authors
-- count.
-- Note: DevLake counts the reporter's own comments and those of bots as answers; here the first one by another person
-- counts.
-- Note: DevLake's previous week is the eight days from Monday to Monday; here it is from `from` to before `to`.

WITH as_of AS (
    SELECT coalesce($as_of, max(greatest(created_date, updated_date, resolution_date))) AS t
    FROM domain.issues
),

issues AS (
    SELECT
        i.id,
        i.issue_key,
        i.title,
        i.creator_id,
        i.creator_name,
        i.created_date,
        i.status,
        i.url
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

answers AS (
    SELECT
        p.id,
        min(c.created_date) AS first_answer
    FROM issues AS p
    INNER JOIN domain.issue_comments AS c ON c.issue_id = p.id
    LEFT JOIN domain.accounts AS a ON a.id = c.account_id
    WHERE c.account_id <> p.creator_id
        AND coalesce(a.is_bot, FALSE) = FALSE
        AND c.created_date >= p.created_date
    GROUP BY p.id
)

SELECT
    i.issue_key AS issue,
    i.title,
    i.creator_name AS reporter,
    i.created_date AS created,
    i.status,
    CASE
        WHEN i.created_date <= a.t
            THEN round((extract(EPOCH FROM a.t) - extract(EPOCH FROM i.created_date)) / 86400.0, 1)
    END AS "queue days",
    i.url
FROM issues AS i
CROSS JOIN as_of AS a
LEFT JOIN answers AS w ON w.id = i.id
WHERE w.id IS NULL
ORDER BY i.created_date, i.id
