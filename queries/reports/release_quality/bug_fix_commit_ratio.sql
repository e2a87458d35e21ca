-- What share of each tag went into fixing bugs?
-- Grain: one row per repository and tag
-- Dashboard: GitHub Release Quality and Contribution Analysis, 2.1 Ratio of Bug Fix Commits [Last 5 Tags]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: type varchar[] = BUG   issue types that are bugs
-- param: tags bigint = 5   how many of each repository's newest tags
-- Note: a commit counts once, as a fix when one of its pull requests names a bug; DevLake counts it for each of its
-- pull requests and issue types, and shows only tags that have both bugs and commits.
-- Note: DevLake takes the lexicographically greatest tag names, so v1.10 comes before v1.9, over all repositories, and
-- every range of commits that begins at a tag's commit, deployments included; here they are the newest pairs of tags in
-- version order, each repository's own.

WITH pairs AS (
    SELECT
        g.*,
        g.repo_name AS repository
    FROM metrics.tag_ranges AS g
    WHERE g.pair_index <= $tags
        AND ($repo IS NULL OR list_contains($repo, g.repo_name))
        AND (
            $project IS NULL
            OR g.repo_id IN (
                SELECT m.row_id
                FROM domain.project_mapping AS m
                WHERE m."table" = 'repos' AND list_contains($project, m.project_name)
            )
        )
),

commits AS (
    SELECT DISTINCT
        p.repository,
        p.repo_id,
        p.tag,
        p.place,
        d.commit_sha
    FROM pairs AS p
    INNER JOIN domain.commits_diffs AS d
        ON d.new_commit_sha = p.new_commit_sha AND d.old_commit_sha = p.old_commit_sha
),

changes AS (
    SELECT
        prc.commit_sha,
        prc.pull_request_id
    FROM domain.pull_request_commits AS prc
    UNION
    SELECT
        r.merge_commit_sha,
        r.id
    FROM domain.pull_requests AS r
    WHERE r.merge_commit_sha <> ''
),

bug_commits AS (
    SELECT DISTINCT
        c.commit_sha,
        r.base_repo_id AS repo_id
    FROM changes AS c
    INNER JOIN domain.pull_requests AS r ON r.id = c.pull_request_id
    INNER JOIN domain.pull_request_issues AS l ON l.pull_request_id = c.pull_request_id
    INNER JOIN domain.issues AS i ON i.id = l.issue_id
    WHERE $type IS NULL OR list_contains($type, i.type)
),

bugs AS (
    SELECT
        p.new_ref_id,
        count(DISTINCT i.id) AS bugs
    FROM pairs AS p
    INNER JOIN domain.refs_issues_diffs AS d ON d.new_ref_id = p.new_ref_id AND d.old_ref_id = p.old_ref_id
    INNER JOIN domain.issues AS i ON i.id = d.issue_id
    WHERE $type IS NULL OR list_contains($type, i.type)
    GROUP BY p.new_ref_id
),

totals AS (
    SELECT
        c.repo_id,
        c.tag,
        count(*) AS commits,
        count(b.commit_sha) AS fixes
    FROM commits AS c
    LEFT JOIN bug_commits AS b ON b.commit_sha = c.commit_sha AND b.repo_id = c.repo_id
    GROUP BY c.repo_id, c.tag
),

shown AS (
    SELECT DISTINCT
        repository,
        repo_id,
        tag,
        new_ref_id,
        place
    FROM pairs
)

SELECT
    s.repository,
    s.tag,
    coalesce(b.bugs, 0) AS bugs,
    coalesce(t.commits, 0) AS commits,
    coalesce(t.fixes, 0) AS "bug fix commits",
    round(100.0 * t.fixes / nullif(t.commits, 0), 1) AS "bug fix %"
FROM shown AS s
LEFT JOIN bugs AS b ON b.new_ref_id = s.new_ref_id
LEFT JOIN totals AS t ON t.repo_id = s.repo_id AND t.tag = s.tag
ORDER BY s.repository, s.place
