-- How long did each commit on the main line take to production, with or without a pull request?
--
-- Grain:  one row per project, repository and commit that a branch or tag leads to
-- Source: domain.repo_commits, domain.commits, dora.commit_deployments, domain.pull_request_commits
--
-- Rules:
-- * Commits that only a pull request lists are left out, where domain.repo_commits distinguishes them (reachable).
-- * The deployment is the first production deployment of the project, over all its production environments, that
--   has the commit. The first known one of an environment (position 1) has all history: a commit that is
--   baseline_days or more older than its end may have been there before, and is baseline.
-- * Merge commits are not counted: they contain no change of their own.
-- * The pull request is the first merged one, by number, that lists the commit or has it as its merge commit; a
--   promotion only where no other does.
--
-- incremental: project by project_name
WITH known_repositories AS (
    SELECT
        repo_id,
        bool_or(reachable) AS says_reachable
    FROM domain.repo_commits GROUP BY repo_id
),

repository_commits AS (
    SELECT
        m.project_name,
        c.repo_id,
        c.commit_sha
    FROM domain.repo_commits AS c
    INNER JOIN known_repositories AS r ON r.repo_id = c.repo_id
    INNER JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = c.repo_id
    WHERE c.reachable OR NOT r.says_reachable
),

deployments AS (
    SELECT
        m.project_name,
        d.id,
        min(d.finished_date) AS finished_date
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.environment = 'PRODUCTION' AND d.result = 'SUCCESS' AND d.finished_date IS NOT NULL
    GROUP BY m.project_name, d.id
),

deployed_commits AS (
    SELECT DISTINCT
        id,
        commit_sha
    FROM domain.cicd_deployment_commits
),

first_deployments AS (
    SELECT
        d.project_name,
        g.repo_id,
        g.commit_sha,
        g.deployment_id,
        g.position,
        d.finished_date,
        c.id IS NOT NULL AS is_direct
    FROM dora.commit_deployments AS g
    INNER JOIN deployments AS d ON d.id = g.deployment_commit_id
    LEFT JOIN deployed_commits AS c ON c.id = g.deployment_commit_id AND c.commit_sha = g.commit_sha
    QUALIFY row_number() OVER (
            PARTITION BY d.project_name, g.repo_id, g.commit_sha
            ORDER BY
                d.finished_date, CASE WHEN c.id IS NOT NULL THEN 0 ELSE 1 END, g.deployment_id, g.deployment_commit_id
        ) = 1
),

holders AS (
    SELECT
        base_repo_id,
        merge_commit_sha AS commit_sha,
        id,
        pull_request_key,
        promotion_evidence IS NOT NULL AS is_promotion
    FROM domain.pull_requests
    WHERE merged_date IS NOT NULL AND merge_commit_sha <> ''
    UNION ALL
    SELECT
        p.base_repo_id,
        l.commit_sha,
        p.id,
        p.pull_request_key,
        p.promotion_evidence IS NOT NULL AS is_promotion
    FROM domain.pull_requests AS p
    INNER JOIN domain.pull_request_commits AS l ON l.pull_request_id = p.id
    WHERE p.merged_date IS NOT NULL
),

first_holders AS (
    SELECT
        base_repo_id,
        commit_sha,
        id
    FROM holders
    QUALIFY row_number() OVER (
            PARTITION BY base_repo_id, commit_sha
            ORDER BY CASE WHEN is_promotion THEN 1 ELSE 0 END, pull_request_key, id
        ) = 1
),

merge_commits AS (
    SELECT commit_sha FROM domain.commit_parents GROUP BY commit_sha HAVING count(*) > 1
),

described AS (
    SELECT
        r.project_name,
        r.repo_id,
        r.commit_sha,
        coalesce(c.author_name, '') AS author_name,
        coalesce(c.author_account_id, '') AS author_account_id,
        c.authored_date,
        c.committed_date,
        coalesce(c.parent_count, 0) > 1 OR p.commit_sha IS NOT NULL AS is_merge,
        coalesce(h.id, '') AS pull_request_id,
        coalesce(d.deployment_id, '') AS deployment_id,
        d.finished_date AS deployed_date,
        CASE WHEN d.commit_sha IS NULL THEN 'none'
            WHEN d.is_direct THEN 'direct'
            WHEN d.position = 1
                AND (
                    c.committed_date IS NULL
                    OR extract(EPOCH FROM d.finished_date) - extract(EPOCH FROM c.committed_date)
                    >= coalesce(s.baseline_days, 30) * 86400
                ) THEN 'baseline'
            ELSE 'contained'
        END AS attribution
    FROM repository_commits AS r
    LEFT JOIN domain.commits AS c ON c.sha = r.commit_sha
    LEFT JOIN first_deployments AS d
        ON d.project_name = r.project_name AND d.repo_id = r.repo_id AND d.commit_sha = r.commit_sha
    LEFT JOIN first_holders AS h ON h.base_repo_id = r.repo_id AND h.commit_sha = r.commit_sha
    LEFT JOIN merge_commits AS p ON p.commit_sha = r.commit_sha
    LEFT JOIN config.projects AS s ON s.name = r.project_name
),

reasoned AS (
    SELECT
        d.*,
        CASE WHEN is_merge THEN 'merge'
            WHEN attribution = 'baseline' THEN 'baseline'
            WHEN attribution = 'none' THEN 'not deployed'
            WHEN committed_date IS NULL THEN 'no date'
            WHEN deployed_date < committed_date THEN 'negative lead time'
        END AS exclusion_reason
    FROM described AS d
)

SELECT
    project_name,
    repo_id,
    commit_sha,
    author_name,
    author_account_id,
    authored_date,
    committed_date,
    is_merge,
    pull_request_id,
    attribution,
    exclusion_reason,
    deployment_id,
    deployed_date,
    CASE WHEN exclusion_reason IS NULL
            THEN cast(floor(extract(EPOCH FROM deployed_date)) - floor(extract(EPOCH FROM committed_date)) AS bigint)
    END AS lead_time_seconds
FROM reasoned
