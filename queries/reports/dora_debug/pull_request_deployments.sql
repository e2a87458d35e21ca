-- Which production deployments have a pull request in their range, and which one counts?
-- Grain: one row per project, merged pull request and deployment that has its commit
-- Dashboard: DORA Debug, Lead Time for Changes, step 4: pull request and deployment
-- param: project varchar[] = null   only these projects
-- param: pull_request varchar = null   its id or web page; null: all
-- Note: `DevLake's choice` is the deployment of the range (domain.commits_diffs) that started first; DevLake's own
-- check takes the one that finished first, and the environment's first deployment too. `first in production` is
-- dora.project_pr_metrics.attributed_deployment_id.
WITH candidates AS (
    SELECT
        m.project_name,
        f.commit_sha,
        d.id,
        d.started_date,
        d.finished_date,
        row_number() OVER (
            PARTITION BY m.project_name, f.commit_sha ORDER BY d.started_date NULLS FIRST, d.id, d.commit_sha
        ) AS place
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    INNER JOIN domain.cicd_deployment_commits AS v ON v.id = d.prev_success_deployment_commit_id
    INNER JOIN domain.commits_diffs AS f ON f.new_commit_sha = d.commit_sha AND f.old_commit_sha = v.commit_sha
    WHERE d.environment = 'PRODUCTION'
        AND d.result = 'SUCCESS'
        AND d.prev_success_deployment_commit_id <> ''
)

SELECT
    m.project_name AS project,
    coalesce(r.name, p.base_repo_id) AS repository,
    p.pull_request_key AS number,
    p.merged_date AS merged,
    c.place,
    c.started_date AS started,
    c.finished_date AS finished,
    c.id AS "deployment commit",
    coalesce(c.id = x.deployment_commit_id, FALSE) AS "DevLake's choice",
    coalesce(c.id = x.attributed_deployment_commit_id, FALSE) AS "first in production"
FROM domain.pull_requests AS p
INNER JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = p.base_repo_id
INNER JOIN candidates AS c ON c.project_name = m.project_name AND c.commit_sha = p.merge_commit_sha
LEFT JOIN dora.project_pr_metrics AS x ON x.project_name = m.project_name AND x.id = p.id
LEFT JOIN domain.repos AS r ON r.id = p.base_repo_id
WHERE p.merged_date IS NOT NULL
    AND p.merge_commit_sha <> ''
    AND ($pull_request IS NULL OR p.id = $pull_request OR p.url = $pull_request)
    AND ($project IS NULL OR list_contains($project, m.project_name))
ORDER BY m.project_name, repository, number, c.place, c.id
