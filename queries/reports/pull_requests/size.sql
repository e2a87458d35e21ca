-- How large are merged pull requests, and do large ones take longer?
--
-- Grain:  one row per project and size
-- Source: domain.pull_requests, domain.pull_request_commits, domain.commits, domain.commit_files,
--         dora.project_pr_metrics (the times)
--
-- Rules:
-- * lines are those added and deleted: the pull request's own, else the sum over its commits that are no merges. Files
--   are the different paths of those commits.
-- * Bitbucket's API provides neither lines nor files: `commits = "git"` in a rule set or a [[table]] does. A pull request
--   without them has the size 'unknown', which is no 0.
-- * Times are medians in hours, from opening. Bots' pull requests and promotions are left out.
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   merged at or after
-- param: to timestamp = null   merged before
WITH merged AS (
    SELECT
        m.project_name,
        m.id,
        m.first_response_date <= m.pr_merged_date AS is_answered,
        m.pickup_seconds,
        m.pickup_seconds + m.review_seconds + m.merge_seconds AS seconds,
        p.comment_count,
        nullif(p.additions + p.deletions, 0) AS own_lines
    FROM dora.project_pr_metrics AS m
    INNER JOIN domain.pull_requests AS p ON p.id = m.id
    WHERE NOT m.author_is_bot
        AND p.promotion_evidence IS NULL
        AND ($project IS NULL OR list_contains($project, m.project_name))
        AND ($repo IS NULL OR m.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR m.pr_merged_date >= $from)
        AND ($to IS NULL OR m.pr_merged_date < $to)
),

lines AS (
    SELECT
        l.pull_request_id,
        nullif(sum(c.additions + c.deletions), 0) AS changed
    FROM domain.pull_request_commits AS l
    INNER JOIN domain.commits AS c ON c.sha = l.commit_sha
    WHERE c.parent_count < 2
    GROUP BY l.pull_request_id
),

files AS (
    SELECT
        l.pull_request_id,
        count(DISTINCT f.file_path) AS files
    FROM domain.pull_request_commits AS l
    INNER JOIN domain.commits AS c ON c.sha = l.commit_sha
    INNER JOIN domain.commit_files AS f ON f.commit_sha = l.commit_sha
    WHERE c.parent_count < 2
    GROUP BY l.pull_request_id
),

sizes AS (
    SELECT
        m.*,
        f.files,
        coalesce(m.own_lines, l.changed) AS changed
    FROM merged AS m
    LEFT JOIN lines AS l ON l.pull_request_id = m.id
    LEFT JOIN files AS f ON f.pull_request_id = m.id
),

classed AS (
    SELECT
        s.*,
        CASE
            WHEN s.changed IS NULL THEN 6
            WHEN s.changed < 10 THEN 1
            WHEN s.changed < 50 THEN 2
            WHEN s.changed < 250 THEN 3
            WHEN s.changed < 1000 THEN 4
            ELSE 5
        END AS place
    FROM sizes AS s
)

SELECT
    c.project_name AS project,
    CASE c.place
        WHEN 1 THEN 'under 10 lines'
        WHEN 2 THEN '10 to 49 lines'
        WHEN 3 THEN '50 to 249 lines'
        WHEN 4 THEN '250 to 999 lines'
        WHEN 5 THEN '1000 lines or more'
        ELSE 'unknown'
    END AS size,
    count(*) AS "pull requests",
    median(cast(c.changed AS double)) AS "median lines",
    median(cast(c.files AS double)) AS "median files",
    round(median(CASE WHEN c.is_answered THEN cast(c.pickup_seconds AS double) END) / 360) / 10
        AS "to first response h",
    round(median(cast(c.seconds AS double)) / 360) / 10 AS "open to merge h",
    round(10.0 * sum(c.comment_count) / count(*)) / 10 AS "comments per pull request",
    CASE WHEN c.place = 6 THEN 'no line counts: `commits = "git"` or a [[table]] provides them' ELSE '' END AS note
FROM classed AS c
GROUP BY c.project_name, c.place
ORDER BY c.project_name, c.place
