-- Which deployments and tags name a commit that is not among the collected ones, so that its history is unknown?
--
-- Grain:  one row per repository and kind
-- Source: domain.cicd_deployment_commits, domain.refs, domain.repo_commits
--
-- Rules:
-- * The commit is searched for in the repository itself, or in all repositories where the row's repository has no
--   collected commits.
-- * A deployment without a commit is not counted: there is nothing to search for.
WITH named AS (
    SELECT
        'deployed commit' AS what,
        id,
        repo_id,
        cicd_scope_id AS scope_id,
        commit_sha
    FROM domain.cicd_deployment_commits
    WHERE commit_sha <> ''
    UNION ALL
    SELECT
        'commit of a tag' AS what,
        id,
        repo_id,
        repo_id AS scope_id,
        commit_sha
    FROM domain.refs
    WHERE ref_type = 'TAG' AND commit_sha <> ''
),

collected AS (
    SELECT DISTINCT repo_id FROM domain.repo_commits
),

known AS (
    SELECT DISTINCT commit_sha FROM domain.repo_commits
)

SELECT
    split_part(coalesce(nullif(n.repo_id, ''), n.scope_id), ':', 4) AS repository,
    n.what || ' is not among the collected commits' AS kind,
    count(*) AS n,
    FALSE AS is_actionable
FROM named AS n
LEFT JOIN collected AS c ON c.repo_id = n.repo_id
LEFT JOIN domain.repo_commits AS own ON own.repo_id = n.repo_id AND own.commit_sha = n.commit_sha
LEFT JOIN known AS k ON k.commit_sha = n.commit_sha
WHERE own.commit_sha IS NULL AND (c.repo_id IS NOT NULL OR k.commit_sha IS NULL)
GROUP BY split_part(coalesce(nullif(n.repo_id, ''), n.scope_id), ':', 4), n.what
