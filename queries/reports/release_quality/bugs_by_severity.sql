-- How severe were the bugs that each tag fixed?
-- Grain: one row per repository, tag and severity
-- Dashboard: GitHub Release Quality and Contribution Analysis, 2.2 to 2.4 Severity Distribution [Last Tag, The Tag before Last, The 2nd Tag before Last]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: type varchar[] = BUG   issue types that are bugs
-- param: tags bigint = 3   how many of each repository's newest tags
-- Note: Bitbucket has no severity; its priority is used instead.
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
        coalesce(nullif(i.severity, ''), nullif(i.priority, ''), 'UNKNOWN') AS severity
    FROM pairs AS p
    INNER JOIN domain.refs_issues_diffs AS d ON d.new_ref_id = p.new_ref_id AND d.old_ref_id = p.old_ref_id
    INNER JOIN domain.issues AS i ON i.id = d.issue_id
    WHERE $type IS NULL OR list_contains($type, i.type)
)

SELECT
    repository,
    tag,
    severity,
    count(DISTINCT id) AS bugs
FROM bugs
GROUP BY repository, tag, place, severity
ORDER BY repository, place, bugs DESC NULLS LAST, severity
