-- How long do reporters wait for a first answer?
-- Grain: one row
-- Dashboard: Contributor Experience, Time To Initial Issue Response [Last Month]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- param: type varchar[] = null   only these issue types
-- Note: DevLake counts the reporter's own comments and those of bots as answers; here the first one by another person
-- counts.
-- Note: DevLake's window is the calendar month before today; here it is from `from` to before `to`. DevLake also takes
-- the repository's id from the text after the last dash, which cuts slugs.

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
),

response_times AS (
    SELECT
        i.id,
        cast(floor(extract(EPOCH FROM w.first_answer) - extract(EPOCH FROM i.created_date)) AS bigint) AS seconds
    FROM issues AS i
    LEFT JOIN answers AS w ON w.id = i.id
)

SELECT
    count(*) AS issues,
    count(seconds) AS answered,
    round(sum(seconds) / 86400.0 / nullif(count(seconds), 0), 1) AS "mean days",
    round(median(seconds) / 86400.0, 1) AS "median days"
FROM response_times
