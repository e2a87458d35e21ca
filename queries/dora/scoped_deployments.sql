-- Which deployments count for which project, repository and team?
--
-- Grain:  one row per project, scope and deployment to an environment
-- Source: dora.deployments, dora.team_deployments
--
-- Rules:
-- * A deployment counts for its project, for its repository and for each team that has a change in it.
-- * is_release holds for the first production environment that a release reaches (release_position), so that the
--   release counts once. is_reached holds for successes and for failures that are known to have done harm.
--
-- incremental: project by project_name
WITH deployments AS (
    SELECT
        project_name,
        deployment_id,
        environment,
        repo_id,
        finished_date,
        outcome = 'SUCCESS' AS is_success,
        outcome = 'SUCCESS' AND coalesce(release_position, 1) = 1 AS is_release,
        outcome = 'SUCCESS' OR is_failed AS is_reached,
        is_failed,
        outcome = 'SUCCESS' AND is_rework AS is_rework,
        recovery_seconds
    FROM dora.deployments
)

SELECT
    d.project_name,
    'project' AS scope,
    d.project_name AS scope_id,
    d.deployment_id,
    d.environment,
    d.finished_date,
    d.is_success,
    d.is_release,
    d.is_reached,
    d.is_failed,
    d.is_rework,
    d.recovery_seconds
FROM deployments AS d
UNION ALL
SELECT
    d.project_name,
    'repository' AS scope,
    d.repo_id AS scope_id,
    d.deployment_id,
    d.environment,
    d.finished_date,
    d.is_success,
    d.is_release,
    d.is_reached,
    d.is_failed,
    d.is_rework,
    d.recovery_seconds
FROM deployments AS d
UNION ALL
SELECT
    d.project_name,
    'team' AS scope,
    t.team_id AS scope_id,
    d.deployment_id,
    d.environment,
    d.finished_date,
    d.is_success,
    d.is_release,
    d.is_reached,
    d.is_failed,
    d.is_rework,
    d.recovery_seconds
FROM deployments AS d
INNER JOIN dora.team_deployments AS t ON t.project_name = d.project_name AND t.deployment_id = d.deployment_id
