-- Which deployments name a pipeline that was not collected, so that their branch is unknown?
--
-- Grain:  one row per repository
-- Source: domain.cicd_deployments, domain.cicd_pipelines
--
-- Rules:
-- * Bitbucket's own that name no pipeline at all are counted too. Most often the pipeline is older than `since`.
SELECT
    split_part(d.cicd_scope_id, ':', 4) AS repository,
    'deployment of a pipeline that is not among the collected ones' AS kind,
    count(*) AS n,
    FALSE AS is_actionable
FROM domain.cicd_deployments AS d
WHERE d.deployment_source = 'bitbucket'
    AND NOT EXISTS (SELECT 1 FROM domain.cicd_pipelines AS p WHERE p.id = d.pipeline_id)
GROUP BY split_part(d.cicd_scope_id, ':', 4)
