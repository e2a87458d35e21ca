-- What share of issues is answered in time?
-- Grain: one row
-- Dashboard: Contributor Experience, Issue Response Rate within SLA [Last Month]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- param: type varchar[] = null   only these issue types
-- param: sla_hours double = 24   hours in which a first answer is due
-- param: as_of timestamp = null   the moment to look at; the newest event of the table when null
-- Note: DevLake divides by the answered issues, so that those never answered do not count; here an issue that is past
-- the time without an answer is late, and one that is not answered but still in time does not count yet.
-- Note: DevLake counts the reporter's own comments and those of bots as answers; here the first one by another person
-- counts.
-- Note: DevLake's window is the calendar month before today; here it is from `from` to before `to`. DevLake also takes
-- the repository's id from the text after the last dash, which cuts slugs.

WITH as_of AS (
    SELECT coalesce($as_of, max(greatest(created_date, updated_date))) AS t
    FROM domain.issue_comments
),

issues AS (
    SELECT
        i.id,
        i.creator_id,
        i.created_date
    FROM domain.issues AS i
    WHERE ($from IS NULL OR i.created_date >= $from)
        AND ($to IS NULL OR i.created_date < $to)
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
        AND ($type IS NULL OR list_contains($type, i.type))
),

answers AS (
    SELECT
        p.id,
        min(c.created_date) AS first_answer
    FROM issues AS p
    INNER JOIN domain.issue_comments AS c ON c.issue_id = p.id
    LEFT JOIN domain.accounts AS a ON a.id = c.account_id
    WHERE c.account_id <> p.creator_id
        AND coalesce(a.is_bot, FALSE) = FALSE
        AND c.created_date >= p.created_date
    GROUP BY p.id
),

response_times AS (
    SELECT
        i.id,
        cast(floor(extract(EPOCH FROM w.first_answer) - extract(EPOCH FROM i.created_date)) AS bigint) AS answered,
        cast(floor(extract(EPOCH FROM a.t) - extract(EPOCH FROM i.created_date)) AS bigint) AS waited
    FROM issues AS i
    LEFT JOIN answers AS w ON w.id = i.id
    CROSS JOIN as_of AS a
)

SELECT
    count(*) FILTER (WHERE answered < $sla_hours * 3600) AS "in time",
    count(*) FILTER (WHERE answered >= $sla_hours * 3600) AS "answered late",
    count(*) FILTER (WHERE answered IS NULL AND waited >= $sla_hours * 3600) AS "not answered",
    round(
        100.0 * count(*) FILTER (WHERE answered < $sla_hours * 3600)
        / nullif(count(*) FILTER (WHERE answered IS NOT NULL OR waited >= $sla_hours * 3600), 0),
        1
    ) AS "in time %"
FROM response_times
