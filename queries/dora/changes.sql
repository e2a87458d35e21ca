-- Which commit stands for each merged pull request?
--
-- Grain:  one row per project and merged pull request into one of its repositories
-- Source: domain.pull_requests, domain.pull_request_commits, domain.repo_commits, domain.project_mapping
--
-- Rules:
-- * A change is its merge commit; where that is unknown, the newest of its commits that the repository has.
-- * A repository has the commits that its branches and tags lead to, and all commits of given rows that do not say so.
--
-- incremental: project by project_name
WITH pull_requests AS (
    SELECT
        m.project_name,
        p.id,
        p.base_repo_id,
        p.merged_date,
        p.merge_commit_sha,
        p.merge_commit_sha_match,
        p.promotion_evidence IS NOT NULL AS is_promotion
    FROM domain.pull_requests AS p
    INNER JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = p.base_repo_id
    WHERE p.merged_date IS NOT NULL
),

-- what branches and tags lead to; of given rows that do not say so, all
known_repositories AS (
    SELECT
        repo_id,
        bool_or(reachable) AS says_reachable
    FROM domain.repo_commits GROUP BY repo_id
),

known_commits AS (
    SELECT
        c.repo_id,
        c.commit_sha
    FROM domain.repo_commits AS c
    INNER JOIN known_repositories AS r ON r.repo_id = c.repo_id
    WHERE c.reachable OR NOT r.says_reachable
),

newest_commits AS (
    SELECT
        c.pull_request_id,
        c.commit_sha
    FROM domain.pull_request_commits AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.pull_request_id
    INNER JOIN known_commits AS k ON k.repo_id = p.base_repo_id AND k.commit_sha = c.commit_sha
    WHERE p.merged_date IS NOT NULL
        AND (p.merge_commit_sha = '' OR p.merge_commit_sha_match IN ('ambiguous', 'missing'))
    QUALIFY row_number() OVER (
            PARTITION BY c.pull_request_id ORDER BY c.commit_authored_date DESC NULLS LAST, c.commit_sha
        ) = 1
),

changes AS (
    SELECT
        p.*,
        CASE WHEN p.merge_commit_sha <> '' AND p.merge_commit_sha_match NOT IN ('ambiguous', 'missing')
                THEN p.merge_commit_sha
            ELSE coalesce(n.commit_sha, '')
        END AS change_sha
    FROM pull_requests AS p
    LEFT JOIN newest_commits AS n ON n.pull_request_id = p.id
)

SELECT
    c.project_name,
    c.id,
    c.base_repo_id AS repo_id,
    c.merged_date,
    c.change_sha,
    k.commit_sha IS NOT NULL AS is_known,
    c.is_promotion
FROM changes AS c
LEFT JOIN known_commits AS k ON k.repo_id = c.base_repo_id AND k.commit_sha = c.change_sha
