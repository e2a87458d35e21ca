-- What share of pull requests is merged or declined in time?
-- Grain: one row
-- Dashboard: Contributor Experience, PR Resolution Rate within SLA [Last Month]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- param: sla_days double = 7   days in which it is due
-- param: as_of timestamp = null   the moment to look at; the newest event of the table when null
-- Note: DevLake divides by the closed ones, so that those still open do not count, and takes a missing close date as
-- late; here an open one that is past the time is late, and one still in time does not count yet.
-- Note: DevLake's window is the calendar month before today; here it is from `from` to before `to`. DevLake also takes
-- the repository's id from the text after the last dash, which cuts slugs.

WITH as_of AS (
    SELECT coalesce($as_of, max(greatest(created_date, updated_date, closed_date))) AS t
    FROM domain.pull_requests
),

pull_requests AS (
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

response_times AS (
    SELECT
        p.id,
        CASE
            WHEN p.status IN ('CLOSED', 'MERGED') AND p.closed_date >= p.created_date
                THEN cast(floor(extract(EPOCH FROM p.closed_date) - extract(EPOCH FROM p.created_date)) AS bigint)
        END AS closed,
        cast(floor(extract(EPOCH FROM a.t) - extract(EPOCH FROM p.created_date)) AS bigint) AS waited,
        p.status
    FROM pull_requests AS p
    CROSS JOIN as_of AS a
)

SELECT
    count(*) FILTER (WHERE closed < $sla_days * 86400) AS "in time",
    count(*) FILTER (WHERE closed >= $sla_days * 86400) AS "closed late",
    count(*) FILTER (WHERE closed IS NULL AND status = 'OPEN' AND waited >= $sla_days * 86400) AS "still open",
    round(
        100.0 * count(*) FILTER (WHERE closed < $sla_days * 86400)
        / nullif(
            count(*) FILTER (WHERE closed IS NOT NULL OR (status = 'OPEN' AND waited >= $sla_days * 86400)), 0
        ),
        1
    ) AS "in time %"
FROM response_times
