-- Which deployments reached production?
-- Grain: one row per project, deployment and repository
-- Dashboard: DORA Details - Deployment Frequency, 1 Deployment list
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- Note: DevLake lists a deployment once for all selected projects and environments; here once for each of
-- them.
SELECT
    d.project_name AS project,
    coalesce(r.name, d.repo_id) AS repository,
    coalesce(nullif(c.display_title, ''), nullif(c.name, ''), d.deployment_id) AS deployment,
    d.environment,
    d.kind,
    d.finished_date AS finished,
    d.changes,
    d.commits,
    d.ref_name AS "branch or tag",
    d.commit_sha AS "commit",
    d.url,
    d.deployment_id AS id
FROM dora.deployments AS d
LEFT JOIN domain.repos AS r ON d.repo_id = r.id
LEFT JOIN domain.cicd_deployments AS c ON d.deployment_id = c.id
WHERE d.outcome = 'SUCCESS'
    AND ($project IS NULL OR list_contains($project, d.project_name))
    AND ($repo IS NULL OR d.repo_id IN (SELECT o.id FROM domain.repos AS o WHERE list_contains($repo, o.name)))
    AND ($from IS NULL OR d.finished_date >= $from)
    AND ($to IS NULL OR d.finished_date < $to)
ORDER BY d.finished_date DESC, d.project_name, d.deployment_id, d.environment
