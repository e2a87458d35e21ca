-- What share of closed pull requests was not merged?
-- Grain: one row
-- Dashboard: Contributor Experience, PR Closed W/O Merging Ratio [Last Month]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- Note: DevLake's window is the calendar month before today; here it is from `from` to before `to`. DevLake also takes
-- the repository's id from the text after the last dash, which cuts slugs.

WITH pull_requests AS (
    SELECT
        p.id,
        p.status
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
)

SELECT
    count(*) FILTER (WHERE status IN ('CLOSED', 'MERGED')) AS closed,
    count(*) FILTER (WHERE status = 'CLOSED') AS "not merged",
    round(
        100.0 * count(*) FILTER (WHERE status = 'CLOSED')
        / nullif(count(*) FILTER (WHERE status IN ('CLOSED', 'MERGED')), 0),
        1
    ) AS "not merged %"
FROM pull_requests
