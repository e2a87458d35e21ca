-- When did each production deployment end?
-- Grain: one row per project and production deployment
-- Dashboard: DORA Debug, Deployment Frequency, step 3: latest finish of each deployment
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- Note: A deployment of several commits ends with its last one.
WITH production AS (
    SELECT
        m.project_name,
        d.cicd_deployment_id,
        min(d.display_title) AS title,
        min(d.url) AS url,
        count(*) AS commits,
        min(d.commit_sha) AS commit_sha,
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
    p.finished_date AS finished,
    p.title,
    p.commits,
    p.commit_sha AS "commit",
    p.url,
    p.cicd_deployment_id AS id
FROM production AS p
WHERE ($from IS NULL OR p.finished_date >= $from)
    AND ($to IS NULL OR p.finished_date < $to)
ORDER BY p.project_name, p.finished_date DESC NULLS LAST, p.cicd_deployment_id
