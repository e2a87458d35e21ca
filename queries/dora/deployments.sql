-- Which deployments reached production, project by project?
--
-- Grain:  one row per project and production deployment that has ended
-- Source: domain.cicd_deployment_commits, domain.project_mapping
--
-- Rules:
-- * A project's deployments are those of its mapped scopes.
-- * Each deployment of Bitbucket's has one commit; of one that had several, the smallest sha stands for it.
-- * One that is still running or was never started is not here; one that was stopped counts as FAILURE, as in DevLake.
SELECT
    m.project_name,
    d.cicd_deployment_id AS deployment_id,
    d.cicd_scope_id,
    d.repo_id,
    min(d.commit_sha) AS commit_sha,
    min(d.original_environment) AS original_environment,
    min(d.result) AS result,
    min(d.started_date) AS started_date,
    min(d.finished_date) AS finished_date
FROM domain.cicd_deployment_commits AS d
JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
WHERE d.environment = 'PRODUCTION'
  AND d.result IN ('SUCCESS', 'FAILURE')
  AND d.finished_date IS NOT NULL
GROUP BY m.project_name, d.cicd_deployment_id, d.cicd_scope_id, d.repo_id
