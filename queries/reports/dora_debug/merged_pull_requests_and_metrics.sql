-- Has every merged pull request its row of metrics, and what do the rows know?
-- Grain: one row per project
-- Dashboard: DORA Debug, Lead Time for Changes, step 2: project_pr_metrics
-- param: project varchar[] = null   only these projects
-- Note: `missing` and `surplus` must be 0. DevLake joins this table without the project, so that a repository of two
-- projects counts twice.
WITH merged AS (
    SELECT
        m.project_name,
        p.id
    FROM domain.pull_requests AS p
    INNER JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = p.base_repo_id
    WHERE p.merged_date IS NOT NULL
),

pairs AS (
    SELECT
        coalesce(p.project_name, x.project_name) AS project_name,
        p.id AS merged_id,
        x.id AS metrics_id,
        x.pr_coding_time,
        x.pr_pickup_time,
        x.pr_review_time,
        x.pr_deploy_time,
        x.deployment_commit_id,
        x.attributed_deployment_id,
        x.lead_time_seconds,
        x.exclusion_reason
    FROM merged AS p
    FULL JOIN dora.project_pr_metrics AS x ON x.project_name = p.project_name AND x.id = p.id
)

SELECT
    project_name AS project,
    count(merged_id) AS merged,
    count(metrics_id) AS "rows of metrics",
    count(*) FILTER (WHERE metrics_id IS NULL) AS missing,
    count(*) FILTER (WHERE merged_id IS NULL) AS surplus,
    count(pr_coding_time) AS "with coding",
    count(pr_pickup_time) AS "with pickup",
    count(pr_review_time) AS "with review",
    count(pr_deploy_time) AS "with deploy",
    count(nullif(deployment_commit_id, '')) AS "DevLake's deployment",
    count(nullif(attributed_deployment_id, '')) AS "in production",
    count(*) FILTER (WHERE exclusion_reason IS NULL AND lead_time_seconds IS NOT NULL) AS "in lead time"
FROM pairs
WHERE $project IS NULL OR list_contains($project, project_name)
GROUP BY project_name
ORDER BY project_name
