-- Do the stored minutes of a pull request agree with its commits, comments and deployment?
-- Grain: one row per project, pull request and part of its cycle time
-- Dashboard: DORA Debug, Lead Time for Changes, step 3: one pull request
-- param: project varchar[] = null   only these projects
-- param: pull_request varchar = null   its id or web page; null: all whose stored minutes differ
-- Note: DevLake's check ranks deployments by their end and allows the first one, drops pull requests without author,
-- and has no cycle time where coding or deploy is unknown. Here each part is computed as the stored one is meant:
-- minutes rounded up, null below zero, the deployment that started first, missing parts of the cycle as 0.
WITH chosen AS (
    SELECT
        m.project_name,
        p.id,
        p.base_repo_id,
        p.pull_request_key,
        p.author_id,
        p.created_date,
        p.merged_date,
        p.merge_commit_sha
    FROM domain.pull_requests AS p
    INNER JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = p.base_repo_id
    WHERE p.merged_date IS NOT NULL
        AND ($pull_request IS NULL OR p.id = $pull_request OR p.url = $pull_request)
        AND ($project IS NULL OR list_contains($project, m.project_name))
),

first_commits AS (
    SELECT
        pull_request_id,
        min(commit_authored_date) AS authored
    FROM domain.pull_request_commits
    GROUP BY pull_request_id
),

first_reviews AS (
    SELECT
        c.pull_request_id,
        min(c.created_date) AS reviewed
    FROM domain.pull_request_comments AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.pull_request_id
    WHERE coalesce(p.author_id, '') = '' OR c.account_id <> p.author_id
    GROUP BY c.pull_request_id
),

candidates AS (
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
),

spans AS (
    SELECT
        p.project_name,
        p.id,
        p.base_repo_id,
        p.pull_request_key,
        extract(EPOCH FROM p.created_date) - extract(EPOCH FROM a.authored) AS coding,
        extract(EPOCH FROM r.reviewed) - extract(EPOCH FROM p.created_date) AS pickup,
        extract(EPOCH FROM p.merged_date) - extract(EPOCH FROM r.reviewed) AS review,
        extract(EPOCH FROM d.finished_date) - extract(EPOCH FROM p.merged_date) AS deploy,
        extract(EPOCH FROM p.merged_date) - extract(EPOCH FROM p.created_date) AS opened
    FROM chosen AS p
    LEFT JOIN first_commits AS a ON a.pull_request_id = p.id
    LEFT JOIN first_reviews AS r ON r.pull_request_id = p.id
    LEFT JOIN candidates AS d
        ON d.place = 1 AND d.project_name = p.project_name AND d.commit_sha = p.merge_commit_sha
            AND p.merge_commit_sha <> ''
),

minutes AS (
    SELECT
        s.project_name,
        s.id,
        s.base_repo_id,
        s.pull_request_key,
        ceil(round(s.coding * 1000000) / 60000000.0) AS coding,
        ceil(round(s.pickup * 1000000) / 60000000.0) AS pickup,
        ceil(round(s.review * 1000000) / 60000000.0) AS review,
        ceil(round(s.deploy * 1000000) / 60000000.0) AS deploy,
        ceil(round(s.opened * 1000000) / 60000000.0) AS opened
    FROM spans AS s
),

recomputed AS (
    SELECT
        s.project_name,
        s.id,
        s.base_repo_id,
        s.pull_request_key,
        cast(CASE WHEN s.coding >= 0 THEN s.coding END AS bigint) AS coding,
        cast(CASE WHEN s.pickup >= 0 THEN s.pickup END AS bigint) AS pickup,
        cast(CASE WHEN s.review >= 0 THEN s.review END AS bigint) AS review,
        cast(CASE WHEN s.deploy >= 0 THEN s.deploy END AS bigint) AS deploy,
        cast(CASE WHEN s.opened >= 0 THEN s.opened END AS bigint) AS opened
    FROM minutes AS s
),

parts AS (
    SELECT
        c.project_name,
        c.base_repo_id,
        c.pull_request_key,
        v.place,
        v.part,
        CASE v.part
            WHEN 'coding' THEN c.coding
            WHEN 'pickup' THEN c.pickup
            WHEN 'review' THEN c.review
            WHEN 'deploy' THEN c.deploy
            ELSE coalesce(c.coding, 0) + coalesce(c.opened, 0) + coalesce(c.deploy, 0)
        END AS recomputed,
        CASE v.part
            WHEN 'coding' THEN x.pr_coding_time
            WHEN 'pickup' THEN x.pr_pickup_time
            WHEN 'review' THEN x.pr_review_time
            WHEN 'deploy' THEN x.pr_deploy_time
            ELSE x.pr_cycle_time
        END AS stored
    FROM recomputed AS c
    CROSS JOIN (VALUES (1, 'coding'), (2, 'pickup'), (3, 'review'), (4, 'deploy'), (5, 'cycle')) AS v (place, part)
    LEFT JOIN dora.project_pr_metrics AS x ON x.project_name = c.project_name AND x.id = c.id
)

SELECT
    p.project_name AS project,
    coalesce(r.name, p.base_repo_id) AS repository,
    p.pull_request_key AS number,
    p.part,
    p.recomputed AS "recomputed min",
    p.stored AS "stored min",
    not(p.recomputed IS DISTINCT FROM p.stored) AS agrees
FROM parts AS p
LEFT JOIN domain.repos AS r ON r.id = p.base_repo_id
WHERE $pull_request IS NOT NULL OR p.recomputed IS DISTINCT FROM p.stored
ORDER BY p.project_name, repository, number, p.place
