-- Which bugs of the latest tags took longest?
-- Grain: one row per tag and bug
-- Dashboard: GitHub Release Quality and Contribution Analysis, 5.4 List of Long-Lead Bugs [Closed Bugs in Last 5 Tags]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: type varchar[] = BUG   issue types that are bugs
-- param: tags bigint = 5   how many of each repository's newest tags
-- param: n bigint = 10   how many of each tag
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
        i.issue_key,
        i.title,
        i.lead_time_minutes,
        i.url
    FROM pairs AS p
    INNER JOIN domain.refs_issues_diffs AS d ON d.new_ref_id = p.new_ref_id AND d.old_ref_id = p.old_ref_id
    INNER JOIN domain.issues AS i ON i.id = d.issue_id
    WHERE $type IS NULL OR list_contains($type, i.type)
),

ranked AS (
    SELECT
        b.repository,
        b.tag,
        b.place,
        b.issue_key,
        b.title,
        b.lead_time_minutes,
        b.url,
        row_number() OVER (
            PARTITION BY b.repository, b.tag ORDER BY b.lead_time_minutes DESC NULLS LAST, b.id
        ) AS longest
    FROM bugs AS b
    WHERE b.lead_time_minutes IS NOT NULL
)

SELECT
    repository,
    tag,
    issue_key AS issue,
    title,
    round(lead_time_minutes / 1440.0, 1) AS days,
    url
FROM ranked
WHERE longest <= $n
ORDER BY repository, place, longest
