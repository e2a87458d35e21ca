-- How long did each failed deployment take to recover, and by what?
-- Grain: one row per project and failed deployment
-- Dashboard: DORA Details - Failed Deployment Recovery Time, 3 Deployments and their incidents
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- Note: DevLake gives whole hours, so 59 minutes are 0, and has no failure without an incident; here to a tenth, one
-- row per failed deployment and incident. `recovery h` is the deployment's, `incident h` from its end to that
-- incident's resolution.
SELECT
    d.project_name AS project,
    coalesce(r.name, d.repo_id) AS repository,
    coalesce(nullif(c.display_title, ''), nullif(c.name, ''), d.deployment_id) AS deployment,
    d.environment,
    d.finished_date AS finished,
    round(d.recovery_seconds / 360.0) / 10 AS "recovery h",
    coalesce(d.recovery_source, '') AS "mended by",
    d.recovery_deployment_id AS "mending deployment",
    coalesce(n.incident_key, '') AS incident,
    coalesce(i.title, '') AS title,
    i.resolution_date AS resolved,
    CASE
        WHEN i.resolution_date >= d.finished_date
            THEN round((extract(EPOCH FROM i.resolution_date) - extract(EPOCH FROM d.finished_date)) / 360) / 10
    END AS "incident h",
    coalesce(n.url, '') AS "incident url"
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
