-- When was each merged pull request first in production, and how long had it been under way?
--
-- Grain:  one row per project and merged pull request
-- Source: domain.pull_requests, domain.pull_request_commits, dora.deployments
--
-- Rules:
-- * Lead time runs from the first commit's authored time (the pull request's creation where no commit is known) to the
--   end of the deployment; null when that would be negative.
-- * attribution says how the deployment was found:
--     direct  a successful production deployment of exactly the merge commit, the earliest if there are several
--     next    the first successful production deployment of the repository that ended after the merge
--     none    not deployed yet
--   "next" holds for releases of the whole main branch; it cannot see one that was cut from an older commit.
WITH successes AS (
    SELECT * FROM dora.deployments WHERE result = 'SUCCESS'
),
first_commits AS (
    SELECT pull_request_id, min(commit_authored_date) AS first_commit_date
    FROM domain.pull_request_commits
    GROUP BY pull_request_id
),
merged AS (
    SELECT
        m.project_name, p.id, p.base_repo_id, p.merge_commit_sha, p.created_date, p.merged_date,
        coalesce(f.first_commit_date, p.created_date) AS started_date,
        f.first_commit_date
    FROM domain.pull_requests AS p
    JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = p.base_repo_id
    LEFT JOIN first_commits AS f ON f.pull_request_id = p.id
    WHERE p.merged_date IS NOT NULL
),
direct AS (
    SELECT project_name, repo_id, commit_sha, deployment_id
    FROM successes
    WHERE commit_sha <> ''
    QUALIFY row_number() OVER (
        PARTITION BY project_name, repo_id, commit_sha ORDER BY finished_date, deployment_id) = 1
),
-- merges and deployments on one line of time, read backwards: the last deployment seen is the next one
events AS (
    SELECT project_name, repo_id, finished_date AS moment, deployment_id, '' AS change_id FROM successes
    UNION ALL
    SELECT project_name, base_repo_id, merged_date, cast(NULL AS varchar), id FROM merged
),
next_deployments AS (
    SELECT
        project_name, change_id,
        last_value(deployment_id IGNORE NULLS) OVER (
            PARTITION BY project_name, repo_id ORDER BY moment DESC, change_id, deployment_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS deployment_id
    FROM events
),
attributed AS (
    SELECT
        c.*,
        coalesce(d.deployment_id, n.deployment_id) AS deployment_id,
        CASE WHEN d.deployment_id IS NOT NULL THEN 'direct'
             WHEN n.deployment_id IS NOT NULL THEN 'next'
             ELSE 'none' END AS attribution
    FROM merged AS c
    LEFT JOIN direct AS d
      ON d.project_name = c.project_name AND d.repo_id = c.base_repo_id AND d.commit_sha = c.merge_commit_sha
    LEFT JOIN next_deployments AS n ON n.project_name = c.project_name AND n.change_id = c.id
)
SELECT
    a.project_name,
    a.id AS pull_request_id,
    a.base_repo_id AS repo_id,
    a.first_commit_date,
    a.created_date,
    a.merged_date,
    a.deployment_id,
    s.finished_date AS deployed_date,
    a.attribution,
    CASE WHEN s.finished_date >= a.started_date
         THEN cast(ceil((extract(epoch FROM s.finished_date) - extract(epoch FROM a.started_date)) / 60) AS bigint)
         END AS lead_time_minutes
FROM attributed AS a
LEFT JOIN successes AS s ON s.project_name = a.project_name AND s.deployment_id = a.deployment_id
