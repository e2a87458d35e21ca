-- How many production deployments finished on each day?
-- Grain: one row per project and day
-- Dashboard: DORA Debug, Deployment Frequency, step 4: deployments per day
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- Note: Days are UTC days with a deployment. DevLake counts days, not deployments, for its frequency: each row is
-- one.
WITH production AS (
    SELECT
        m.project_name,
        d.cicd_deployment_id,
        max(d.finished_date) AS finished_date
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.result = 'SUCCESS'
        AND d.environment = 'PRODUCTION'
        AND d.finished_date IS NOT NULL
        AND ($project IS NULL OR list_contains($project, m.project_name))
        AND ($repo IS NULL OR d.cicd_scope_id IN (
            SELECT s.id FROM domain.cicd_scopes AS s WHERE list_contains($repo, s.name)
        ))
    GROUP BY m.project_name, d.cicd_deployment_id
)

SELECT
    p.project_name AS project,
    cast(p.finished_date AS date) AS day,
    count(*) AS deployments
FROM production AS p
WHERE ($from IS NULL OR p.finished_date >= $from)
    AND ($to IS NULL OR p.finished_date < $to)
GROUP BY p.project_name, cast(p.finished_date AS date)
ORDER BY p.project_name, day
