-- Who fixed the most bugs?
-- Grain: one row per author
-- Dashboard: GitHub Release Quality and Contribution Analysis, 4.2 Top Bug Fixers [Last 5 Tags]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: type varchar[] = BUG   issue types that are bugs
-- param: tags bigint = 5   how many of each repository's newest tags
-- param: n bigint = 10   how many
-- Note: a bug's fixer is the author of the first pull request that names it; one without a pull request has none, where
-- DevLake has a nameless fixer.
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
        i.id
    FROM pairs AS p
    INNER JOIN domain.refs_issues_diffs AS d ON d.new_ref_id = p.new_ref_id AND d.old_ref_id = p.old_ref_id
    INNER JOIN domain.issues AS i ON i.id = d.issue_id
    WHERE $type IS NULL OR list_contains($type, i.type)
),

ranked AS (
    SELECT
        b.id,
        r.author_id,
        r.author_name,
        row_number() OVER (PARTITION BY b.id ORDER BY r.created_date, r.id) AS place
    FROM (SELECT DISTINCT id FROM bugs) AS b
    INNER JOIN domain.pull_request_issues AS l ON l.issue_id = b.id
    INNER JOIN domain.pull_requests AS r ON r.id = l.pull_request_id
),

fixers AS (
    SELECT
        author_id,
        min(author_name) AS author,
        count(*) AS bugs
    FROM ranked
    WHERE place = 1
    GROUP BY author_id
)

SELECT
    author,
    bugs
FROM fixers
ORDER BY bugs DESC NULLS LAST, author, author_id
LIMIT $n
