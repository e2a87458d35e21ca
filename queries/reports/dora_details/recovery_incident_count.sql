-- How many incidents of deployments were resolved?
-- Grain: one row per project
-- Dashboard: DORA Details - Failed Deployment Recovery Time, 2 Number of incidents
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   the deployment finished at or after this instant
-- param: to timestamp = null   the deployment finished before this instant
-- Note: incidents count with their deployment and once; DevLake wants the resolution to be in the window too. The
-- deployment is the one with the best evidence, not simply the last before the incident.
WITH figures AS (
    SELECT
        i.project_name,
        count(*) AS n,
        count(i.resolution_date) AS resolved
    FROM dora.incidents AS i
    WHERE ($project IS NULL OR list_contains($project, i.project_name))
        AND i.deployment_id IN (
            SELECT d.deployment_id
            FROM dora.deployments AS d
            WHERE (d.outcome = 'SUCCESS' OR d.is_failed)
                AND (
                    $repo IS NULL
                    OR d.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name))
                )
                AND ($from IS NULL OR d.finished_date >= $from)
                AND ($to IS NULL OR d.finished_date < $to)
        )
    GROUP BY i.project_name
)

SELECT
    f.project_name AS project,
    coalesce(x.resolved, 0) AS resolved,
    coalesce(x.n - x.resolved, 0) AS "still open",
    CASE WHEN f.reason LIKE 'no incident source%' OR f.reason LIKE 'not collected%' THEN f.reason ELSE '' END AS note
FROM metrics.dora AS f
LEFT JOIN figures AS x ON f.project_name = x.project_name
WHERE f.metric = 'failed_deployment_recovery_time' AND f.period = 'all' AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name
