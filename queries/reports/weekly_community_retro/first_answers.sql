-- Who answered each new issue first, and how soon?
-- Grain: one row per issue that somebody else answered
-- Dashboard: Weekly Community Retro, List of New Community Issues' 1st Comment [Previous Week]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- param: type varchar[] = null   only these issue types
-- Note: of comments of the same instant one is shown; DevLake shows all.
-- Note: DevLake leaves out authors of the chosen organizations; Bitbucket provides no organization, so all authors
-- count.
-- Note: DevLake counts the reporter's own comments and those of bots as answers; here the first one by another person
-- counts.
-- Note: DevLake's previous week is the eight days from Monday to Monday; here it is from `from` to before `to`.

WITH issues AS (
    SELECT
        i.id,
        i.issue_key,
        i.title,
        i.creator_id,
        i.creator_name,
        i.created_date,
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

ranked AS (
    SELECT
        i.id,
        c.created_date AS answered,
        coalesce(a.full_name, '') AS answered_by,
        row_number() OVER (PARTITION BY i.id ORDER BY c.created_date, c.id) AS place
    FROM issues AS i
    INNER JOIN domain.issue_comments AS c ON c.issue_id = i.id
    LEFT JOIN domain.accounts AS a ON a.id = c.account_id
    WHERE c.account_id <> i.creator_id
        AND coalesce(a.is_bot, FALSE) = FALSE
        AND c.created_date >= i.created_date
)

SELECT
    i.issue_key AS issue,
    i.title,
    i.creator_name AS reporter,
    i.created_date AS created,
    r.answered,
    r.answered_by AS "answered by",
    round((extract(EPOCH FROM r.answered) - extract(EPOCH FROM i.created_date)) / 3600.0, 1) AS hours,
    i.url
FROM issues AS i
INNER JOIN ranked AS r ON r.id = i.id AND r.place = 1
ORDER BY i.created_date, i.id
