-- How long is a pull request open?
-- Grain: one row
-- Dashboard: Contributor Experience, PR Resolution Time [Last Month]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- Note: closed_date is filled for merged and declined pull requests alike; DevLake has none for Bitbucket, so its panel
-- is empty.
-- Note: DevLake's window is the calendar month before today; here it is from `from` to before `to`. DevLake also takes
-- the repository's id from the text after the last dash, which cuts slugs.

WITH pull_requests AS (
    SELECT
        p.id,
        p.status,
        p.created_date,
        p.closed_date
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

closed AS (
    SELECT
        id,
        CASE
            WHEN closed_date >= created_date
                THEN cast(floor(extract(EPOCH FROM closed_date) - extract(EPOCH FROM created_date)) AS bigint)
        END AS seconds
    FROM pull_requests
    WHERE status IN ('CLOSED', 'MERGED')
)

SELECT
    (SELECT count(*) FROM pull_requests) AS "pull requests",
    count(*) AS closed,
    round(sum(seconds) / 86400.0 / nullif(count(seconds), 0), 1) AS "mean days",
    round(median(seconds) / 86400.0, 1) AS "median days"
FROM closed
