-- Which commits does each tag add?
-- Grain: one row per tag and commit
-- Dashboard: GitHub Release Quality and Contribution Analysis, 6.2 Commit List for Drill-Down [Last 5 Tags]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: tags bigint = 5   how many of each repository's newest tags
-- Note: DevLake says five tags and lists ten. Children come before parents.
-- Note: DevLake takes the lexicographically greatest tag names, so v1.10 comes before v1.9, over all repositories together,
-- and every range of commits that begins at a tag's commit, deployments included; here they are the newest pairs of tags
-- in version order, each repository's own.

WITH pairs AS (
    SELECT
        rc.new_ref_id,
        rc.old_ref_id,
        rc.new_commit_sha,
        rc.old_commit_sha,
        rc.repo_id,
        rc.pair_index,
        min(rc.pair_index) OVER (PARTITION BY rc.new_ref_id) AS place,
        r.name AS repository,
        replace(t.name, 'refs/tags/', '') AS tag,
        replace(o.name, 'refs/tags/', '') AS since
    FROM domain.ref_commits AS rc
    INNER JOIN domain.refs AS t ON t.id = rc.new_ref_id
    INNER JOIN domain.refs AS o ON o.id = rc.old_ref_id
    INNER JOIN domain.repos AS r ON r.id = rc.repo_id
    WHERE rc.pair_index <= $tags
        AND (
            ($repo IS NULL AND $project IS NULL)
            OR rc.repo_id IN (
                SELECT r.id
                FROM domain.repos AS r
                LEFT JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = r.id
                WHERE ($repo IS NULL OR list_contains($repo, r.name))
                    AND ($project IS NULL OR list_contains($project, m.project_name))
            )
        )
)

SELECT
    p.repository,
    p.tag,
    p.since AS "since tag",
    d.commit_sha AS "commit",
    split_part(c.message, chr(10), 1) AS message,
    c.author_name AS author,
    c.authored_date AS authored
FROM pairs AS p
INNER JOIN domain.commits_diffs AS d
    ON d.new_commit_sha = p.new_commit_sha AND d.old_commit_sha = p.old_commit_sha
LEFT JOIN domain.commits AS c ON c.sha = d.commit_sha
ORDER BY p.repository, p.pair_index, p.new_ref_id, p.old_ref_id, d.topological_index, d.commit_sha
