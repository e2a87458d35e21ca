-- Which pull requests are there, and which of them cherry-pick or promote other changes to a further branch?
--
-- Grain:  one row per pull request
-- Source: base.pull_requests; base.pull_request_ranges for fast-forwards that were pushed with later commits;
--         base.changes for promotions; config.rules for the pattern
--
-- Rules:
-- * parent_pr_id: the first match of cherry_pick_pattern in the title has the parent's number in its first group. The
--   parent is the pull request with that number in the same repository. A given parent is kept.
-- * If the merge's first parent already contains the source, the source was pushed to the destination with later
--   commits: it is a fast-forward, regardless of the commit that Bitbucket names as the merge.
-- * own_commits, first_own_commit_date and promotion_evidence are those of base.changes, unless given.
-- * Repositories that bitlake.toml does not select follow the rules called default.
--
-- incremental: repository by base_repo_id
WITH patterns AS (
    SELECT
        r.repo_id,
        u.cherry_pick_pattern AS pattern
    FROM config.repositories AS r
    INNER JOIN config.rules AS u ON u.rules = r.rules
),

numbers AS (
    SELECT
        b.id,
        b.base_repo_id,
        regexp_extract_all(
            b.title, CASE WHEN p.repo_id IS NULL THEN d.cherry_pick_pattern ELSE p.pattern END, 1
        )[1] AS number
    FROM base.pull_requests AS b
    LEFT JOIN patterns AS p ON p.repo_id = b.base_repo_id
    LEFT JOIN config.rules AS d ON d.rules = 'default'
),

cherry_picked AS (
    SELECT
        id,
        base_repo_id,
        try_cast(number AS bigint) AS number
    FROM numbers
    WHERE regexp_like(number, '^[0-9]+$')
),

parents AS (
    SELECT
        c.id,
        min(p.id) AS parent_id
    FROM cherry_picked AS c
    INNER JOIN base.pull_requests AS p ON p.base_repo_id = c.base_repo_id AND p.pull_request_key = c.number
    WHERE p.id <> c.id
    GROUP BY c.id
),

pushed AS (
    SELECT pull_request_id FROM base.pull_request_ranges WHERE commit_sha = ''
)

SELECT
    b.* EXCLUDE (parent_pr_id, merge_kind, own_commits, first_own_commit_date, promotion_evidence),
    coalesce(nullif(b.parent_pr_id, ''), p.parent_id, '') AS parent_pr_id,
    CASE WHEN f.pull_request_id IS NOT NULL THEN 'fast_forward' ELSE b.merge_kind END AS merge_kind,
    coalesce(b.own_commits, c.own_commits) AS own_commits,
    coalesce(b.first_own_commit_date, c.first_own_commit_date) AS first_own_commit_date,
    coalesce(b.promotion_evidence, c.promotion_evidence) AS promotion_evidence
FROM base.pull_requests AS b
LEFT JOIN parents AS p ON p.id = b.id
LEFT JOIN pushed AS f ON f.pull_request_id = b.id
LEFT JOIN base.changes AS c ON c.id = b.id
