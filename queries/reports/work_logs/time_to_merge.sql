-- How long do their pull requests take to be merged?
-- Grain: one row
-- Dashboard: Work Logs, Average PR time to merge
-- param: team varchar[] = null   only members of these teams, by name
-- param: person varchar[] = null   only these people, by name
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- Note: DevLake computes hours and shows them as minutes.
-- Note: people are the accounts, under the person's name where [org] knows it, or else the account's; DevLake shows nobody
-- without [org]. Bots are left out.

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
        r.created_date,
        r.merged_date
    FROM domain.pull_requests AS r
    WHERE r.author_id IN (SELECT p.account_id FROM people AS p)
        AND ($from IS NULL OR r.created_date >= $from)
        AND ($to IS NULL OR r.created_date < $to)
),

merged AS (
    SELECT
        id,
        CASE
            WHEN merged_date >= created_date
                THEN cast(floor(extract(EPOCH FROM merged_date) - extract(EPOCH FROM created_date)) AS bigint)
        END AS seconds
    FROM opened
    WHERE merged_date IS NOT NULL
)

SELECT
    count(*) AS merged,
    round(sum(seconds) / 3600.0 / nullif(count(seconds), 0), 1) AS "mean hours",
    round(median(seconds) / 3600.0, 1) AS "median hours"
FROM merged
