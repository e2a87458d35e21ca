-- Which bugs are outstanding, oldest first?
-- Grain: one row per bug
-- Dashboard: GitHub Release Quality and Contribution Analysis, 5.6 List of Outstanding Bugs [All Open Bugs]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: type varchar[] = BUG   issue types that are bugs
-- param: as_of timestamp = null   the moment to look at; the newest event of the table when null
-- Note: DevLake divides minutes by 3600 and calls them days.
-- Note: DevLake uses the clock; here the time is a parameter. Bugs that were refused are not outstanding.

WITH as_of AS (
    SELECT coalesce($as_of, max(greatest(created_date, updated_date, resolution_date))) AS t
    FROM domain.issues
),

bugs AS (
    SELECT
        i.id,
        i.issue_key,
        i.title,
        i.status,
        i.original_status,
        i.created_date,
        i.resolution_date,
        i.lead_time_minutes,
        i.url
    FROM domain.issues AS i
    WHERE ($type IS NULL OR list_contains($type, i.type))
        AND (
            ($repo IS NULL AND $project IS NULL)
            OR i.id IN (
                SELECT bi.issue_id
                FROM domain.board_issues AS bi
                INNER JOIN domain.boards AS b ON b.id = bi.board_id
                LEFT JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.id
                WHERE ($repo IS NULL OR list_contains($repo, b.name))
                    AND ($project IS NULL OR list_contains($project, m.project_name))
            )
        )
),

outstanding AS (
    SELECT
        b.id,
        b.issue_key,
        b.title,
        b.created_date,
        b.url,
        cast(floor(extract(EPOCH FROM a.t) - extract(EPOCH FROM b.created_date)) AS bigint) AS seconds
    FROM bugs AS b
    CROSS JOIN as_of AS a
    WHERE b.created_date <= a.t
        AND (b.status <> 'DONE' OR b.resolution_date > a.t)
        AND b.status <> 'REJECTED'
        AND NOT (b.status = 'OTHER' AND b.original_status IN ('invalid', 'duplicate', 'wontfix'))
)

SELECT
    issue_key AS issue,
    title,
    created_date AS created,
    round(seconds / 86400.0, 1) AS "queue days",
    url
FROM outstanding
ORDER BY created_date, id
