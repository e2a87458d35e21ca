-- Who wrote the most commits of the latest tags?
-- Grain: one row per author
-- Dashboard: GitHub Release Quality and Contribution Analysis, 8.2 Top Contributors [Last 5 Tags]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: tags bigint = 5   how many of each repository's newest tags
-- param: n bigint = 10   how many
-- Note: a commit in several tags counts once; an author is the account, or else the e-mail address, not the name.
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

shas AS (
    SELECT DISTINCT
        c.sha,
        CASE WHEN c.author_account_id <> '' THEN c.author_account_id ELSE lower(c.author_email) END AS author_id,
        coalesce(nullif(a.full_name, ''), c.author_name) AS author
    FROM commits AS k
    INNER JOIN domain.commits AS c ON c.sha = k.commit_sha
    LEFT JOIN domain.accounts AS a ON a.id = c.author_account_id
),

committers AS (
    SELECT
        author_id,
        min(author) AS author,
        count(*) AS commits
    FROM shas
    GROUP BY author_id
)

SELECT
    author,
    commits
FROM committers
ORDER BY commits DESC NULLS LAST, author, author_id
LIMIT $n
