-- Which commits does each production deployment add to the one before it?
-- Grain: one row per project and deployed commit in production
-- Dashboard: DORA Debug, Lead Time for Changes: deployments and their predecessors
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- Note: A range is unknown where there is no success before it (DevLake then takes all history) or where its commits
-- are not collected; it is empty for a redeploy or rollback.
WITH ranges AS (
    SELECT
        new_commit_sha,
        old_commit_sha,
        count(*) AS commits
    FROM domain.commits_diffs
    GROUP BY new_commit_sha, old_commit_sha
)

SELECT
    m.project_name AS project,
    d.finished_date AS finished,
    d.started_date AS started,
    d.original_environment AS environment,
    d.display_title AS title,
    d.commit_sha AS "commit",
    coalesce(v.commit_sha, '') AS "commit before",
    x.commits,
    d.id AS "deployment commit"
FROM domain.cicd_deployment_commits AS d
INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
LEFT JOIN domain.cicd_deployment_commits AS v
    ON v.id = d.prev_success_deployment_commit_id AND v.repo_url = d.repo_url
LEFT JOIN ranges AS x ON x.new_commit_sha = d.commit_sha AND x.old_commit_sha = v.commit_sha
WHERE d.result = 'SUCCESS'
    AND d.environment = 'PRODUCTION'
    AND d.finished_date IS NOT NULL
    AND ($from IS NULL OR d.finished_date >= $from)
    AND ($to IS NULL OR d.finished_date < $to)
    AND ($project IS NULL OR list_contains($project, m.project_name))
    AND ($repo IS NULL OR d.cicd_scope_id IN (
        SELECT s.id FROM domain.cicd_scopes AS s WHERE list_contains($repo, s.name)
    ))
ORDER BY m.project_name, d.finished_date, d.id, d.commit_sha, v.commit_sha
