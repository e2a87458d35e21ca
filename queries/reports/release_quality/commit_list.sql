-- Which commits does each tag add?
-- Grain: one row per tag and commit
-- Dashboard: GitHub Release Quality and Contribution Analysis, 6.2 Commit List for Drill-Down [Last 5 Tags]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: tags bigint = 5   how many of each repository's newest tags
-- Note: DevLake says five tags and lists ten. Children come before parents.
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
)

SELECT
    p.repository,
    p.tag,
    p.since_tag AS "since tag",
    d.commit_sha AS "commit",
    split_part(c.message, chr(10), 1) AS message,
    c.author_name AS author,
    c.authored_date AS authored
FROM pairs AS p
INNER JOIN domain.commits_diffs AS d
    ON d.new_commit_sha = p.new_commit_sha AND d.old_commit_sha = p.old_commit_sha
LEFT JOIN domain.commits AS c ON c.sha = d.commit_sha
ORDER BY p.repository, p.pair_index, p.new_ref_id, p.old_ref_id, d.topological_index, d.commit_sha
