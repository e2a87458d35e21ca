-- What share of new issues got an answer?
-- Grain: one row
-- Dashboard: Weekly Community Retro, Community Issues' Response Rate [Previous Week]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- param: type varchar[] = null   only these issue types
-- Note: DevLake leaves out authors of the chosen organizations; Bitbucket provides no organization, so all authors
-- count.
-- Note: DevLake counts the reporter's own comments and those of bots as answers; here the first one by another person
-- counts.
-- Note: DevLake's previous week is the eight days from Monday to Monday; here it is from `from` to before `to`.

WITH issues AS (
    SELECT
        i.id,
        i.creator_id,
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
    count(*) AS issues,
    count(w.id) AS answered,
    round(100.0 * count(w.id) / nullif(count(*), 0), 1) AS "answered %"
FROM issues AS i
LEFT JOIN answers AS w ON w.id = i.id
