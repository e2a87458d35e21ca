-- Which deployments failed, by which evidence?
-- Grain: one row per project, failed deployment and piece of evidence
-- Dashboard: DORA Details - Change Failure Rate, 2 Deployments with incidents
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- Note: DevLake looks incidents up among issues, so it shows none of those from other sources; here all incidents, and
-- failures that are known without one.
SELECT
    d.project_name AS project,
    coalesce(r.name, d.repo_id) AS repository,
    coalesce(nullif(c.display_title, ''), nullif(c.name, ''), d.deployment_id) AS deployment,
    d.environment,
    d.finished_date AS finished,
    d.failure_evidence AS evidence,
    coalesce(n.incident_key, '') AS incident,
    coalesce(i.title, '') AS title,
    i.evidence AS "linked by",
    i.created_date AS began,
    i.resolution_date AS resolved,
    coalesce(n.url, '') AS "incident url",
    d.url AS "deployment url"
FROM dora.deployments AS d
LEFT JOIN dora.incidents AS i ON d.project_name = i.project_name AND d.deployment_id = i.deployment_id
LEFT JOIN domain.incidents AS n ON i.incident_id = n.id
LEFT JOIN domain.repos AS r ON d.repo_id = r.id
LEFT JOIN domain.cicd_deployments AS c ON d.deployment_id = c.id
WHERE d.is_failed
    AND ($project IS NULL OR list_contains($project, d.project_name))
    AND ($repo IS NULL OR d.repo_id IN (SELECT o.id FROM domain.repos AS o WHERE list_contains($repo, o.name)))
    AND ($from IS NULL OR d.finished_date >= $from)
    AND ($to IS NULL OR d.finished_date < $to)
ORDER BY
    d.finished_date DESC,
    d.project_name,
    d.deployment_id,
    d.environment,
    i.created_date NULLS LAST,
    i.incident_id NULLS LAST
