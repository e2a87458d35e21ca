-- How long did each incident take to be resolved?
-- Grain: one row per project and incident
-- Dashboard: DORA Details - Time to Restore Service, 3 Incidents
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   resolved at or after this instant
-- param: to timestamp = null   resolved before this instant
-- Note: DevLake rounds to whole hours; here to a tenth. The deployment is the one with the best evidence.
SELECT
    i.project_name AS project,
    coalesce(n.incident_key, '') AS incident,
    i.title,
    i.created_date AS began,
    i.resolution_date AS resolved,
    round(i.recovery_seconds / 360.0) / 10 AS hours,
    i.deployment_id AS deployment,
    i.evidence AS "linked by",
    coalesce(n.url, '') AS url
FROM dora.incidents AS i
LEFT JOIN domain.incidents AS n ON i.incident_id = n.id
WHERE i.resolution_date IS NOT NULL
    AND ($project IS NULL OR list_contains($project, i.project_name))
    AND (
        $repo IS NULL
        OR n.scope_id IN (SELECT b.id FROM domain.boards AS b WHERE list_contains($repo, b.name))
        OR i.deployment_id IN (
            SELECT d.deployment_id
            FROM dora.deployments AS d INNER JOIN domain.repos AS r ON d.repo_id = r.id
            WHERE list_contains($repo, r.name)
        )
    )
    AND ($from IS NULL OR i.resolution_date >= $from)
    AND ($to IS NULL OR i.resolution_date < $to)
ORDER BY i.resolution_date DESC, i.project_name, i.incident_id
