-- How many incidents began, and how many were resolved?
-- Grain: one row per project
-- Dashboard: DORA Details - Time to Restore Service, 2 Incident count
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   began or were resolved at or after this instant
-- param: to timestamp = null   began or were resolved before this instant
-- Note: DevLake counts those that began, beside a median over those that were resolved; here both.
WITH incidents AS (
    SELECT
        i.project_name,
        i.created_date >= coalesce($from, i.created_date) AND ($to IS NULL OR i.created_date < $to) AS began,
        i.resolution_date >= coalesce($from, i.resolution_date)
        AND ($to IS NULL OR i.resolution_date < $to) AS resolved,
        i.resolution_date IS NULL AS is_open
    FROM dora.incidents AS i
    LEFT JOIN domain.incidents AS n ON i.incident_id = n.id
    WHERE ($project IS NULL OR list_contains($project, i.project_name))
        AND (
            $repo IS NULL
            OR n.scope_id IN (SELECT b.id FROM domain.boards AS b WHERE list_contains($repo, b.name))
            OR i.deployment_id IN (
                SELECT d.deployment_id
                FROM dora.deployments AS d INNER JOIN domain.repos AS r ON d.repo_id = r.id
                WHERE list_contains($repo, r.name)
            )
        )
),

figures AS (
    SELECT
        i.project_name,
        count(*) FILTER (WHERE i.began) AS began,
        count(*) FILTER (WHERE i.resolved) AS resolved,
        count(*) FILTER (WHERE i.began AND i.is_open) AS still_open
    FROM incidents AS i
    GROUP BY i.project_name
)

SELECT
    f.project_name AS project,
    coalesce(x.began, 0) AS began,
    coalesce(x.resolved, 0) AS resolved,
    coalesce(x.still_open, 0) AS "of those that began, open",
    CASE WHEN f.reason LIKE 'no incident source%' OR f.reason LIKE 'not collected%' THEN f.reason ELSE '' END AS note
FROM metrics.dora AS f
LEFT JOIN figures AS x ON f.project_name = x.project_name
WHERE f.metric = 'failed_deployment_recovery_time' AND f.period = 'all' AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name
