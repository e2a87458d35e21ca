-- Where do the deployments come from, and which of them count?
-- Grain: one row per project, source, result and environment, as delivered and as mapped
-- Dashboard: DORA Debug, Deployment Frequency, step 2: deployment commits
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- Note: `counts`: success in PRODUCTION with an end, the only ones that DevLake's figures see. A deployment of two
-- projects is in the rows of both.
SELECT
    m.project_name AS project,
    d._raw_data_table AS source,
    d.deployment_source AS "found by",
    d.original_result AS "original result",
    d.result,
    d.original_environment AS "original environment",
    d.environment,
    count(*) AS "commits",
    count(DISTINCT d.cicd_deployment_id) AS deployments,
    bool_and(d.result = 'SUCCESS' AND d.environment = 'PRODUCTION' AND d.finished_date IS NOT NULL) AS counts,
    min(d.finished_date) AS first,
    max(d.finished_date) AS last
FROM domain.cicd_deployment_commits AS d
INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
WHERE ($from IS NULL OR d.finished_date >= $from)
    AND ($to IS NULL OR d.finished_date < $to)
    AND ($project IS NULL OR list_contains($project, m.project_name))
    AND ($repo IS NULL OR d.cicd_scope_id IN (
        SELECT s.id FROM domain.cicd_scopes AS s WHERE list_contains($repo, s.name)
    ))
GROUP BY
    m.project_name, d._raw_data_table, d.deployment_source, d.original_result, d.result, d.original_environment,
    d.environment
ORDER BY
    project, source, d.deployment_source, d.original_result, d.result, d.original_environment, d.environment
