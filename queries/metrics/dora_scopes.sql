-- For which project, repositories and teams are there figures?
--
-- Grain:  one row per project and scope
-- Source: config.buckets for projects; domain.project_mapping, dora.deployments and dora.project_pr_metrics for
--         repositories; dora.team_changes for teams
--
-- Rules:
-- * limits_of names the repository whose collection limits the figures; '' stands for all of the project's, which limit
--   the figures of the project and of its teams.
--
-- incremental: project by project_name
WITH project_repos AS (
    SELECT
        project_name,
        row_id AS repo_id
    FROM domain.project_mapping WHERE "table" = 'repos'
    UNION
    SELECT
        project_name,
        repo_id
    FROM dora.deployments WHERE repo_id <> ''
    UNION
    SELECT
        project_name,
        repo_id
    FROM dora.project_pr_metrics WHERE repo_id <> ''
)

SELECT DISTINCT
    project_name,
    'project' AS scope,
    project_name AS scope_id,
    project_name AS scope_name,
    '' AS limits_of
FROM config.buckets
UNION ALL
SELECT
    p.project_name,
    'repository' AS scope,
    p.repo_id AS scope_id,
    coalesce(nullif(r.name, ''), p.repo_id) AS scope_name,
    p.repo_id AS limits_of
FROM project_repos AS p
LEFT JOIN domain.repos AS r ON r.id = p.repo_id
UNION ALL
SELECT DISTINCT
    project_name,
    'team' AS scope,
    team_id AS scope_id,
    team_name AS scope_name,
    '' AS limits_of
FROM dora.team_changes
