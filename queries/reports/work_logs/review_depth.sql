-- How many comments do people write in a review?
-- Grain: one row
-- Dashboard: Work Logs, Average review depth
-- param: team varchar[] = null   only members of these teams, by name
-- param: person varchar[] = null   only these people, by name
-- param: from timestamp = null   commented not before this
-- param: to timestamp = null   commented before this
-- Note: DevLake counts comments on one's own pull requests too.
-- Note: people are the accounts, under the person's name where [org] has it, or else the account's; DevLake shows no
-- people without [org]. Bots are left out.

WITH people AS (
    SELECT
        a.id AS account_id,
        coalesce(nullif(u.name, ''), a.full_name) AS person
    FROM domain.accounts AS a
    LEFT JOIN domain.user_accounts AS ua ON ua.account_id = a.id
    LEFT JOIN domain.users AS u ON u.id = ua.user_id
    WHERE coalesce(a.is_bot, FALSE) = FALSE
        AND ($person IS NULL OR list_contains($person, coalesce(nullif(u.name, ''), a.full_name)))
        AND (
            $team IS NULL
            OR u.id IN (
                SELECT tu.user_id
                FROM domain.team_users AS tu
                INNER JOIN domain.teams AS t ON t.id = tu.team_id
                WHERE list_contains($team, t.name)
            )
        )
)

SELECT
    count(*) AS comments,
    count(DISTINCT c.pull_request_id) AS "pull requests",
    round(1.0 * count(*) / nullif(count(DISTINCT c.pull_request_id), 0), 1) AS "comments each"
FROM domain.pull_request_comments AS c
INNER JOIN people AS p ON p.account_id = c.account_id
INNER JOIN domain.pull_requests AS r ON r.id = c.pull_request_id
WHERE c.account_id <> r.author_id
    AND ($from IS NULL OR c.created_date >= $from)
    AND ($to IS NULL OR c.created_date < $to)
