-- What kind of work does each tag add?
-- Grain: one row per repository, tag and type
-- Dashboard: GitHub Release Quality and Contribution Analysis, 7.1 to 7.3 Work-Type Distribution [Last Tag, The Tag before Last, The 2nd Tag before Last]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: tags bigint = 3   how many of each repository's newest tags
-- Note: a commit counts once, under the type of the first issue that its first pull request names, UNKNOWN without any;
-- DevLake leaves out commits without an issue and counts one for each of its pull requests and types.
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

typed AS (
    SELECT
        c.commit_sha,
        r.base_repo_id AS repo_id,
        i.type,
        row_number() OVER (
            PARTITION BY c.commit_sha, r.base_repo_id
            ORDER BY r.created_date, r.id, i.created_date, i.id
        ) AS place
    FROM changes AS c
    INNER JOIN domain.pull_requests AS r ON r.id = c.pull_request_id
    INNER JOIN domain.pull_request_issues AS l ON l.pull_request_id = c.pull_request_id
    INNER JOIN domain.issues AS i ON i.id = l.issue_id
),

kinds AS (
    SELECT
        c.repository,
        c.tag,
        c.place,
        c.commit_sha,
        coalesce(nullif(t.type, ''), 'UNKNOWN') AS type
    FROM commits AS c
    LEFT JOIN typed AS t ON t.commit_sha = c.commit_sha AND t.repo_id = c.repo_id AND t.place = 1
)

SELECT
    repository,
    tag,
    type,
    count(DISTINCT commit_sha) AS commits
FROM kinds
GROUP BY repository, tag, place, type
ORDER BY repository, place, commits DESC NULLS LAST, type
