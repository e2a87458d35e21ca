-- How many of their pull requests were merged?
-- Grain: one row
-- Dashboard: Work Logs, PRs merged / PRs created by the selected users
-- param: team varchar[] = null   only members of these teams, by name
-- param: person varchar[] = null   only these people, by name
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
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
        r.merged_date
    FROM domain.pull_requests AS r
    WHERE r.author_id IN (SELECT p.account_id FROM people AS p)
        AND ($from IS NULL OR r.created_date >= $from)
        AND ($to IS NULL OR r.created_date < $to)
)

SELECT
    count(merged_date) AS merged,
    count(*) AS opened,
    round(100.0 * count(merged_date) / nullif(count(*), 0), 1) AS "merged %"
FROM opened
