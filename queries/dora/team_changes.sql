-- Which merged pull requests are the work of which team?
--
-- Grain:  one row per team, project and merged pull request whose author is a member of the team
-- Source: dora.project_pr_metrics, dora.team_members
--
-- Rules:
-- * A pull request belongs to every team of its author. Promotions belong to no team.
--
-- incremental: project by project_name
SELECT
    t.team_id,
    m.project_name,
    m.id AS pull_request_id,
    t.team_name,
    m.attributed_deployment_id
FROM dora.project_pr_metrics AS m
INNER JOIN dora.team_members AS t ON t.account_id = m.author_id
WHERE t.team_id <> '' AND t.account_id <> '' AND coalesce(m.exclusion_reason, '') <> 'promotion'
