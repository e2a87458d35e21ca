-- How do the issues assigned to people stand?
-- Grain: one row per status
-- Dashboard: Work Logs, Statuses of assigned issues
-- param: team varchar[] = null   only members of these teams, by name
-- param: person varchar[] = null   only these people, by name
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- Note: DevLake counts the issues that people reported, not those assigned to them.
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
    CASE WHEN i.status = '' THEN '(none)' ELSE i.status END AS status,
    count(*) AS issues
FROM domain.issues AS i
WHERE i.assignee_id IN (SELECT p.account_id FROM people AS p)
    AND ($from IS NULL OR i.created_date >= $from)
    AND ($to IS NULL OR i.created_date < $to)
GROUP BY CASE WHEN i.status = '' THEN '(none)' ELSE i.status END
ORDER BY issues DESC NULLS LAST, status
