-- Which bugs did the latest tags fix?
-- Grain: one row per tag and bug
-- Dashboard: GitHub Release Quality and Contribution Analysis, 2.5 List of Fixed Bugs [Last 5 Tags]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: type varchar[] = BUG   issue types that are bugs
-- param: tags bigint = 5   how many of each repository's newest tags
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
),

bugs AS (
    SELECT DISTINCT
        p.repository,
        p.tag,
        p.place,
        i.id,
        i.issue_key,
        i.title,
        i.status,
        i.assignee_name,
        i.lead_time_minutes,
        i.url
    FROM pairs AS p
    INNER JOIN domain.refs_issues_diffs AS d ON d.new_ref_id = p.new_ref_id AND d.old_ref_id = p.old_ref_id
    INNER JOIN domain.issues AS i ON i.id = d.issue_id
    WHERE $type IS NULL OR list_contains($type, i.type)
)

SELECT
    repository,
    tag,
    issue_key AS issue,
    title,
    status,
    assignee_name AS assignee,
    round(lead_time_minutes / 1440.0, 1) AS days,
    url
FROM bugs
ORDER BY repository, place, id
