-- Who is in a team?
--
-- Grain:  one row per team and member.
-- Source: config.users: team_ids holds the ids of a person's teams, separated by semicolons.
--
-- Rules:
-- * Blanks around an id do not count, an empty part is skipped, and a team named twice is one membership.

WITH memberships AS (
    SELECT
        id AS user_id,
        unnest(string_to_array(team_ids, ';')) AS team_id
    FROM config.users
)

SELECT DISTINCT
    trim(team_id) AS team_id,
    user_id,
    '' AS _raw_data_params,
    '' AS _raw_data_table
FROM memberships
WHERE trim(team_id) <> ''
