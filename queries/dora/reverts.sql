-- Which changes revert or restore which others?
--
-- Grain:  one row per merged pull request and commit that it says it reverts
-- Source: dora.revert_mentions, domain.pull_requests, domain.pull_request_commits, domain.commits
--
-- Rules:
-- * A commit that a merged pull request lists stands for that one's merge commit too.
-- * effect: a revert of a revert restores (reapply), a revert of that reverts again, and so on, however long the
--   chain. The effect of the named commit or pull request decides; where that reverts nothing as far as is known, the
--   wording of the text that names it decides, else that of the pull request's title.
-- * A commit belongs to the pull request that was merged first of those that list it: a release that promotes it
--   reverts nothing by it. The list of a squash or rebase is its own, and so is what change_branches leaves.
-- * A commit that one commit of a pull request reverts and another one restores has no row.
WITH RECURSIVE mentions AS (
    SELECT
        m.*,
        CASE WHEN pull_request_id <> '' THEN pull_request_id ELSE repo_id || ' ' || commit_sha END AS speaker,
        repo_id || ' ' || commit_sha AS commit_node,
        CASE WHEN reverted_pull_request_id <> '' THEN reverted_pull_request_id
            WHEN reverted_commit_sha <> '' THEN repo_id || ' ' || reverted_commit_sha ELSE ''
        END AS target
    FROM dora.revert_mentions AS m
),

-- what the commits of one pull request undo of each other
undone_commits AS (
    SELECT DISTINCT
        t.pull_request_id,
        t.target AS commit_node
    FROM mentions AS t
    WHERE t.pull_request_id <> '' AND t.source = 'commit' AND t.target <> ''
        AND NOT EXISTS (
            SELECT 1
            FROM mentions AS u
            WHERE u.pull_request_id = t.pull_request_id AND u.source = 'commit' AND u.target = t.commit_node
        )
),

cancelled AS (
    SELECT
        m.pull_request_id,
        m.target
    FROM mentions AS m
    LEFT JOIN undone_commits AS u ON u.pull_request_id = m.pull_request_id AND u.commit_node = m.commit_node
    WHERE m.pull_request_id <> '' AND m.source = 'commit'
    GROUP BY m.pull_request_id, m.target
    HAVING count(*) = count(u.commit_node)
),

title_wordings AS (
    SELECT
        pull_request_id,
        min(wording) AS wording
    FROM mentions
    WHERE source = 'title'
    GROUP BY pull_request_id
),

said AS (
    SELECT
        m.* EXCLUDE (wording),
        coalesce(m.wording, w.wording) AS wording
    FROM mentions AS m
    LEFT JOIN title_wordings AS w ON w.pull_request_id = m.pull_request_id AND m.pull_request_id <> ''
    LEFT JOIN cancelled AS c ON c.pull_request_id = m.pull_request_id AND c.target = m.target
    WHERE c.target IS NULL AND m.target <> m.speaker
),

-- pairs of reverting and reverted: pull requests, and each commit by itself
edges AS (
    SELECT
        speaker AS node,
        target,
        wording
    FROM said
    UNION
    SELECT
        commit_node AS node,
        target,
        wording
    FROM said WHERE commit_sha <> ''
),

speakers AS (
    SELECT speaker AS node FROM mentions
    UNION
    SELECT commit_node AS node FROM mentions WHERE commit_sha <> ''
),

effects AS (
    SELECT
        e.node,
        coalesce(e.wording, 'revert') AS effect
    FROM edges AS e
    LEFT JOIN speakers AS s ON s.node = e.target
    WHERE s.node IS NULL
    UNION
    SELECT
        e.node,
        CASE WHEN c.effect = 'revert' THEN 'reapply' ELSE 'revert' END AS effect
    FROM effects AS c
    INNER JOIN edges AS e ON e.target = c.node
),

-- the effect of reverting a revert
inverses AS (
    SELECT
        node,
        CASE WHEN bool_or(effect = 'revert') THEN 'reapply' ELSE 'revert' END AS effect
    FROM effects
    GROUP BY node
),

holders AS (
    SELECT
        p.base_repo_id AS repo_id,
        l.commit_sha,
        p.id,
        p.merge_commit_sha,
        p.merge_commit_sha_match
    FROM domain.pull_request_commits AS l
    INNER JOIN domain.pull_requests AS p ON p.id = l.pull_request_id
    WHERE p.merged_date IS NOT NULL AND p.merge_commit_sha_match NOT IN ('ambiguous', 'missing')
),

cherry_picked AS (
    SELECT
        l.pull_request_id,
        l.commit_sha
    FROM domain.pull_request_commits AS l
    INNER JOIN domain.pull_requests AS p ON p.id = l.pull_request_id
    WHERE p.merged_date IS NOT NULL
        AND coalesce(p.merge_kind, '') <> 'squash_or_rebase'
        AND coalesce(p.promotion_evidence, '') <> 'branch'
    QUALIFY row_number() OVER (
            PARTITION BY p.base_repo_id, l.commit_sha ORDER BY p.merged_date, p.pull_request_key, p.id
        ) > 1
),

found AS (
    SELECT
        s.pull_request_id AS id,
        CASE WHEN s.source = 'title' THEN 'title' ELSE 'message' END AS source,
        coalesce(i.effect, s.wording, 'revert') AS effect,
        CASE WHEN v.holder THEN h.merge_commit_sha ELSE s.reverted_commit_sha END AS reverted_sha,
        CASE WHEN v.holder THEN h.id ELSE s.reverted_pull_request_id END AS reverted_id
    FROM said AS s
    LEFT JOIN inverses AS i ON i.node = s.target
    LEFT JOIN holders AS h
        ON h.repo_id = s.repo_id AND h.commit_sha = s.reverted_commit_sha AND s.reverted_pull_request_id = ''
    LEFT JOIN cherry_picked AS k
        ON k.pull_request_id = s.pull_request_id AND k.commit_sha = s.commit_sha AND s.source = 'commit'
    CROSS JOIN (VALUES (FALSE), (TRUE)) AS v (holder)
    WHERE s.pull_request_id <> '' AND (NOT v.holder OR h.id IS NOT NULL) AND k.commit_sha IS NULL
        AND NOT EXISTS (
            SELECT 1
            FROM domain.pull_request_commits AS o
            WHERE o.pull_request_id = s.pull_request_id AND o.commit_sha = s.reverted_commit_sha
        )
)

SELECT
    f.id AS pull_request_id,
    f.reverted_sha AS reverted_commit_sha,
    f.reverted_id AS reverted_pull_request_id,
    p.base_repo_id AS repo_id,
    p.merged_date,
    coalesce(q.merged_date, c.committed_date) AS reverted_date,
    f.source,
    f.effect
FROM found AS f
INNER JOIN domain.pull_requests AS p ON p.id = f.id
LEFT JOIN domain.pull_requests AS q ON q.id = f.reverted_id
LEFT JOIN domain.commits AS c ON c.sha = f.reverted_sha
WHERE f.reverted_sha <> '' AND f.reverted_id <> f.id
QUALIFY row_number() OVER (
        PARTITION BY f.id, f.reverted_sha
        ORDER BY CASE WHEN f.reverted_id = '' THEN 1 ELSE 0 END, f.source, f.reverted_id, f.effect
    ) = 1
