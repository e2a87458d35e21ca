-- How many issues does each team get, and how many does it complete?
-- Grain: one row per period and team
-- Dashboard: Engineering Throughput and Cycle Time (Team View), Issues Opened and Completed
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: type varchar[] = null   only these issue types
-- param: from timestamp = null   reported or resolved at or after
-- param: to timestamp = null   reported or resolved before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A team's issues are those that a present member is assigned to. A person in two teams counts for both, and
-- once in `(all teams)`, which covers everyone who is in a team.
-- Note: An issue is completed in the period in which it was resolved, DevLake counts it in that of its report. Its
-- figure per member of the organization counts all issues, regardless of the assignee; here `(all teams)` has the
-- issues and the members of the teams.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH base AS (
    SELECT
        i.id,
        'opened' AS event,
        date_trunc($interval, i.created_date) AS bucket
    FROM domain.issues AS i
    WHERE i.created_date IS NOT NULL
        AND ($type IS NULL OR list_contains($type, i.type))
        AND ($from IS NULL OR i.created_date >= $from)
        AND ($to IS NULL OR i.created_date < $to)
        AND ($project IS NULL OR i.id IN (
            SELECT b.issue_id
            FROM domain.board_issues AS b
            INNER JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.board_id
            WHERE list_contains($project, m.project_name)
        ))
    UNION ALL
    SELECT
        i.id,
        'completed' AS event,
        date_trunc($interval, i.resolution_date) AS bucket
    FROM domain.issues AS i
    WHERE i.resolution_date IS NOT NULL
        AND i.status = 'DONE'
        AND ($type IS NULL OR list_contains($type, i.type))
        AND ($from IS NULL OR i.resolution_date >= $from)
        AND ($to IS NULL OR i.resolution_date < $to)
        AND ($project IS NULL OR i.id IN (
            SELECT b.issue_id
            FROM domain.board_issues AS b
            INNER JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.board_id
            WHERE list_contains($project, m.project_name)
        ))
),

by_team AS (
    SELECT DISTINCT
        t.team_id,
        t.team_name AS team,
        t.member_count AS members,
        b.*
    FROM base AS b
    INNER JOIN domain.issue_assignees AS s ON s.issue_id = b.id
    INNER JOIN dora.team_members AS t ON t.account_id = s.assignee_id
    WHERE t.account_id <> '' AND ($team IS NULL OR t.team_id = '' OR list_contains($team, t.team_name))
),

figures AS (
    SELECT
        team_id,
        team,
        members,
        bucket,
        count(*) FILTER (WHERE event = 'opened') AS opened,
        count(*) FILTER (WHERE event = 'completed') AS completed
    FROM by_team
    GROUP BY team_id, team, members, bucket
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS since,
        least(max(collected_until), $to) AS until
    FROM metrics.collected_windows
    WHERE $project IS NULL OR list_contains($project, project_name)
)

SELECT
    cast(f.bucket AS date) AS period,
    f.team,
    f.members,
    f.opened,
    f.completed,
    round(10.0 * f.completed / nullif(f.members, 0)) / 10.0 AS "completed per member",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket, CASE WHEN f.team_id = '' THEN 1 ELSE 0 END, f.team, f.team_id
