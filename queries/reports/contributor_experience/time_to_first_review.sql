-- How long do authors wait for a first review?
-- Grain: one row
-- Dashboard: Contributor Experience, Time to Initial PR Review [Last Month]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- Note: DevLake counts the author's own comments and those of bots as reviews; here the first comment, approval or
-- request for changes by another person counts.
-- Note: DevLake's window is the calendar month before today; here it is from `from` to before `to`. DevLake also takes
-- the repository's id from the text after the last dash, which cuts slugs.

WITH pull_requests AS (
    SELECT
        p.id,
        p.author_id,
        p.created_date
    FROM domain.pull_requests AS p
    WHERE ($from IS NULL OR p.created_date >= $from)
        AND ($to IS NULL OR p.created_date < $to)
        AND (
            ($repo IS NULL AND $project IS NULL)
            OR p.base_repo_id IN (
                SELECT r.id
                FROM domain.repos AS r
                LEFT JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = r.id
                WHERE ($repo IS NULL OR list_contains($repo, r.name))
                    AND ($project IS NULL OR list_contains($project, m.project_name))
            )
        )
),

answers AS (
    SELECT
        p.id,
        min(c.created_date) AS first_answer
    FROM pull_requests AS p
    INNER JOIN domain.pull_request_comments AS c ON c.pull_request_id = p.id
    LEFT JOIN domain.accounts AS a ON a.id = c.account_id
    WHERE c.account_id <> p.author_id
        AND coalesce(a.is_bot, FALSE) = FALSE
        AND c.created_date >= p.created_date
    GROUP BY p.id
),

response_times AS (
    SELECT
        p.id,
        cast(floor(extract(EPOCH FROM w.first_answer) - extract(EPOCH FROM p.created_date)) AS bigint) AS seconds
    FROM pull_requests AS p
    LEFT JOIN answers AS w ON w.id = p.id
)

SELECT
    count(*) AS "pull requests",
    count(seconds) AS reviewed,
    round(sum(seconds) / 86400.0 / nullif(count(seconds), 0), 1) AS "mean days",
    round(median(seconds) / 86400.0, 1) AS "median days"
FROM response_times
