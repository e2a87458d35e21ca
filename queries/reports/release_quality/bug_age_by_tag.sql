-- How old were the bugs that each tag fixed?
-- Grain: one row per repository and tag
-- Dashboard: GitHub Release Quality and Contribution Analysis, 5.2 Mean + Median Bug Age Days [Last 5 Tags]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: type varchar[] = BUG   issue types that are bugs
-- param: tags bigint = 5   how many of each repository's newest tags
-- Note: DevLake's median is the upper one, and a tag with a single bug or with equal ages has none, so that it is
-- missing.
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

bugs AS (
    SELECT DISTINCT
        p.repository,
        p.tag,
        p.place,
        i.id,
        i.lead_time_minutes
    FROM pairs AS p
    INNER JOIN domain.refs_issues_diffs AS d ON d.new_ref_id = p.new_ref_id AND d.old_ref_id = p.old_ref_id
    INNER JOIN domain.issues AS i ON i.id = d.issue_id
    WHERE $type IS NULL OR list_contains($type, i.type)
)

SELECT
    repository,
    tag,
    count(lead_time_minutes) AS "fixed bugs",
    round(sum(lead_time_minutes) / 1440.0 / nullif(count(lead_time_minutes), 0), 1) AS "mean days",
    round(median(lead_time_minutes) / 1440.0, 1) AS "median days"
FROM bugs
GROUP BY repository, tag, place
ORDER BY repository, place
