-- Are there deployments, but no project that they could belong to?
--
-- Grain:  one row, or none
-- Source: domain.cicd_deployment_commits, domain.project_mapping
SELECT
    '' AS repository,
    'deployments while there is no project, so that metrics.dora is empty: add a [[project]]' AS kind,
    count(*) AS n,
    TRUE AS is_expected
FROM domain.cicd_deployment_commits
HAVING count(*) > 0 AND (SELECT count(*) FROM domain.project_mapping) = 0
