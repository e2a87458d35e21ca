-- In which deployment do DevLake's rules find each commit of a pull request?
--
-- Grain:  one row per project and commit of a pull request that such a deployment has
-- Source: domain.cicd_deployment_commits, domain.commits_diffs, domain.project_mapping
--
-- Rules:
-- * Among the successful PRODUCTION deployments of the project with a success before them whose range
--   (domain.commits_diffs) holds the commit, DevLake takes the one that started first (unknown starts first, then by
--   id). It counts only if it has finished.
--
-- incremental: project by project_name
WITH deployments AS (
    SELECT
        m.project_name,
        d.id,
        d.cicd_deployment_id,
        d.repo_id,
        d.commit_sha,
        d.started_date,
        d.finished_date,
        d.prev_success_deployment_commit_id
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.environment = 'PRODUCTION' AND d.result = 'SUCCESS'
),

ranges AS (
    SELECT
        d.project_name,
        d.id,
        d.cicd_deployment_id,
        d.started_date,
        d.finished_date,
        d.commit_sha AS new_sha,
        coalesce(p.commit_sha, '') AS old_sha
    FROM deployments AS d
    LEFT JOIN domain.cicd_deployment_commits AS p ON p.id = d.prev_success_deployment_commit_id
    WHERE d.prev_success_deployment_commit_id <> ''
)

SELECT
    r.project_name,
    f.commit_sha,
    r.id AS deployment_commit_id,
    r.cicd_deployment_id AS deployment_id,
    r.finished_date,
    r.new_sha AS deployed_sha
FROM domain.commits_diffs AS f
INNER JOIN ranges AS r ON r.new_sha = f.new_commit_sha AND r.old_sha = f.old_commit_sha
WHERE f.commit_sha IN (
        SELECT merge_commit_sha FROM domain.pull_requests
        UNION
        SELECT commit_sha FROM domain.pull_request_commits
    )
QUALIFY row_number() OVER (
        PARTITION BY r.project_name, f.commit_sha
        ORDER BY r.started_date NULLS FIRST, r.id, r.finished_date NULLS LAST, r.new_sha
    ) = 1
