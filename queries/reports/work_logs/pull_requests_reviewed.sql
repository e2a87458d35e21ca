-- How many of all pull requests did people review or comment on?
-- Grain: one row
-- Dashboard: Work Logs, The count of PRs reviewed or commented by the selected users / Total PRs created within this timeframe.
-- param: team varchar[] = null   only members of these teams, by name
-- param: person varchar[] = null   only these people, by name
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- Note: DevLake counts remarks on one's own pull request as reviews.
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
),

opened AS (
    SELECT
        r.id,
        r.author_id
    FROM domain.pull_requests AS r
    WHERE ($from IS NULL OR r.created_date >= $from)
        AND ($to IS NULL OR r.created_date < $to)
),

reviewed AS (
    SELECT DISTINCT r.id
    FROM opened AS r
    INNER JOIN domain.pull_request_comments AS c ON c.pull_request_id = r.id
    INNER JOIN people AS p ON p.account_id = c.account_id
    WHERE c.account_id <> r.author_id
)

SELECT
    count(v.id) AS reviewed,
    count(*) AS "pull requests",
    round(100.0 * count(v.id) / nullif(count(*), 0), 1) AS "reviewed %"
FROM opened AS r
LEFT JOIN reviewed AS v ON v.id = r.id
