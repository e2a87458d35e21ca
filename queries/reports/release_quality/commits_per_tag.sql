-- How many commits does each tag add?
-- Grain: one row per repository and tag
-- Dashboard: GitHub Release Quality and Contribution Analysis, 6.1 Number of New Commits Per Tag
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: tags bigint = 10   how many of each repository's newest tags
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
    count(d.commit_sha) AS commits
FROM pairs AS p
LEFT JOIN domain.commits_diffs AS d
    ON d.new_commit_sha = p.new_commit_sha AND d.old_commit_sha = p.old_commit_sha
GROUP BY p.repository, p.pair_index, p.tag, p.since_tag, p.new_ref_id, p.old_ref_id
ORDER BY p.repository, p.pair_index, p.new_ref_id, p.old_ref_id
