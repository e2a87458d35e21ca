-- Which pipelines are collected, and which of them count as deployments?
-- Grain: one row per project, source, type, result and environment
-- Dashboard: DORA Debug, Deployment Frequency, step 1: CI/CD pipelines
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- Note: A pipeline of two projects is in the rows of both. Only type DEPLOYMENT with a result becomes a deployment.
SELECT
    m.project_name AS project,
    d._raw_data_table AS source,
    d.type,
    d.original_result AS "original result",
    d.result,
    d.environment,
    count(*) AS pipelines,
    min(d.finished_date) AS first,
    max(d.finished_date) AS last
FROM domain.cicd_pipelines AS d
INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
WHERE ($from IS NULL OR d.finished_date >= $from)
    AND ($to IS NULL OR d.finished_date < $to)
    AND ($project IS NULL OR list_contains($project, m.project_name))
    AND ($repo IS NULL OR d.cicd_scope_id IN (
        SELECT s.id FROM domain.cicd_scopes AS s WHERE list_contains($repo, s.name)
    ))
GROUP BY m.project_name, d._raw_data_table, d.type, d.original_result, d.result, d.environment
ORDER BY project, source, d.type, d.original_result, d.result, d.environment
