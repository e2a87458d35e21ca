-- Which people, with which accounts, belong to which team?
--
-- Grain:  one row per team, member and account of the member ('' for a member without an account)
-- Source: domain.teams, domain.team_users, domain.user_accounts
--
-- Rules:
-- * A team's members are those that team_users names, not those of a team below it.
-- * The team with an empty id, "(all teams)", holds everyone who is in a team; a person in two teams is there once.
WITH memberships AS (
    SELECT
        t.id AS team_id,
        t.name AS team_name,
        u.user_id
    FROM domain.teams AS t
    INNER JOIN domain.team_users AS u ON u.team_id = t.id
    UNION
    SELECT
        '' AS team_id,
        '(all teams)' AS team_name,
        user_id
    FROM domain.team_users
),

sizes AS (
    SELECT
        team_id,
        count(*) AS member_count
    FROM memberships
    GROUP BY team_id
)

SELECT
    m.team_id,
    m.user_id,
    coalesce(a.account_id, '') AS account_id,
    m.team_name,
    s.member_count
FROM memberships AS m
INNER JOIN sizes AS s ON s.team_id = m.team_id
LEFT JOIN domain.user_accounts AS a ON a.user_id = m.user_id
