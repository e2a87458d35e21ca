-- Which deployments are the first in production with a change of which team?
--
-- Grain:  one row per team, project and deployment
-- Source: dora.team_changes
--
-- Rules:
-- * A deployment belongs to every team with a change in it, so it may belong to several teams.
--
-- incremental: project by project_name
SELECT DISTINCT
    team_id,
    project_name,
    attributed_deployment_id AS deployment_id,
    team_name
FROM dora.team_changes
WHERE attributed_deployment_id <> ''
