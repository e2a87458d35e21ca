-- Which merged pull requests are changes of their own, and which only promote other changes to a further branch?
--
-- Grain:  one row per merged pull request
-- Source: base.pull_requests, base.pull_request_ranges, domain.pull_request_commits, domain.commit_parents; config.rules
--         for change_branches
--
-- Rules:
-- * A commit belongs to the pull request that was merged first of those of its repository that list it (ties: by
--   number, then id). A squash or rebase creates copies: the commit that it made belongs to it, not those of its list.
-- * own_commits counts the commits of its list that belong to it; merge commits never count. Of a squash or rebase all
--   of its list count, because the copies cannot be followed any further. It is null where its commits are unknown.
-- * A promotion has no commits of its own: by its commits, none of which belongs to it; or by its branch, a destination
--   that change_branches does not match. Commits of the latter belong to no pull request. A squashed or rebased
--   promotion is a change, because the original commits do not reach its destination.
-- * Repositories that bitlake.toml does not select follow the rules called default.
--
-- incremental: repository
WITH patterns AS (
    SELECT
        r.repo_id,
        u.change_branches AS pattern
    FROM config.repositories AS r
    INNER JOIN config.rules AS u ON u.rules = r.rules
),

pushed AS (
    SELECT pull_request_id FROM base.pull_request_ranges WHERE commit_sha = ''
),

merged AS (
    SELECT
        p.id,
        p.base_repo_id,
        p.pull_request_key,
        p.merged_date,
        p.merge_commit_sha,
        CASE WHEN f.pull_request_id IS NOT NULL THEN 'fast_forward' ELSE p.merge_kind END AS merge_kind,
        coalesce(
            p.base_ref <> ''
            AND NOT regexp_like(p.base_ref, CASE WHEN k.repo_id IS NULL THEN d.change_branches ELSE k.pattern END),
            FALSE
        ) AS is_elsewhere
    FROM base.pull_requests AS p
    LEFT JOIN pushed AS f ON f.pull_request_id = p.id
    LEFT JOIN patterns AS k ON k.repo_id = p.base_repo_id
    LEFT JOIN config.rules AS d ON d.rules = 'default'
    WHERE p.merged_date IS NOT NULL
),

merge_commits AS (
    SELECT commit_sha FROM domain.commit_parents GROUP BY commit_sha HAVING count(*) > 1
),

listed AS (
    SELECT
        p.id,
        c.commit_sha,
        c.commit_authored_date,
        m.commit_sha IS NOT NULL AS is_merge
    FROM merged AS p
    INNER JOIN domain.pull_request_commits AS c ON c.pull_request_id = p.id
    LEFT JOIN merge_commits AS m ON m.commit_sha = c.commit_sha
),

-- what arrived in the destination by each
landed AS (
    SELECT
        id,
        commit_sha
    FROM listed
    UNION
    SELECT
        id,
        merge_commit_sha AS commit_sha
    FROM merged WHERE merge_kind <> 'fast_forward' AND merge_commit_sha <> ''
),

owners AS (
    SELECT
        p.base_repo_id,
        l.commit_sha,
        p.id
    FROM landed AS l
    INNER JOIN merged AS p ON p.id = l.id
    WHERE NOT p.is_elsewhere AND (p.merge_kind <> 'squash_or_rebase' OR l.commit_sha = p.merge_commit_sha)
    QUALIFY row_number() OVER (
            PARTITION BY p.base_repo_id, l.commit_sha ORDER BY p.merged_date, p.pull_request_key, p.id
        ) = 1
),

counted AS (
    SELECT
        p.id,
        p.is_elsewhere,
        p.merge_kind,
        count(l.id) AS commits,
        count(*) FILTER (WHERE NOT l.is_merge AND (o.id = p.id OR p.merge_kind = 'squash_or_rebase')) AS own_commits,
        min(l.commit_authored_date) FILTER (
            WHERE NOT l.is_merge AND (o.id = p.id OR p.merge_kind = 'squash_or_rebase')
        ) AS first_own_commit_date
    FROM merged AS p
    LEFT JOIN listed AS l ON l.id = p.id
    LEFT JOIN owners AS o ON o.base_repo_id = p.base_repo_id AND o.commit_sha = l.commit_sha
    GROUP BY p.id, p.is_elsewhere, p.merge_kind
)

SELECT
    id,
    CASE WHEN commits > 0 AND NOT is_elsewhere THEN own_commits END AS own_commits,
    CASE WHEN NOT is_elsewhere THEN first_own_commit_date END AS first_own_commit_date,
    CASE WHEN is_elsewhere THEN 'branch'
        WHEN commits > 0 AND own_commits = 0 AND merge_kind <> 'squash_or_rebase' THEN 'commits'
    END AS promotion_evidence
FROM counted
