-- How many story points does each team complete?
-- Grain: one row per period and team
-- Dashboard: Engineering Throughput and Cycle Time (Team View), Story Points Completed
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   resolved at or after
-- param: to timestamp = null   resolved before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A team's issues are those that a present member is assigned to. A person in two teams counts for both, and
-- once in `(all teams)`, which covers everyone who is in a team.
-- Note: Issues without story points are left out. Bitbucket has none: rows come only from issues that a [[table]]
-- provides. DevLake's figure per member of the organization counts issues, not points.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH base AS (
    SELECT
        i.id,
        date_trunc($interval, i.resolution_date) AS bucket,
        cast(round(i.story_point * 100) AS bigint) AS hundredths
    FROM domain.issues AS i
    WHERE i.resolution_date IS NOT NULL
        AND i.status = 'DONE'
        AND i.story_point IS NOT NULL
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
        count(*) AS issues,
        sum(hundredths) / 100.0 AS points
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
    f.issues,
    f.points,
    round(10.0 * f.points / nullif(f.members, 0)) / 10.0 AS "points per member",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket, CASE WHEN f.team_id = '' THEN 1 ELSE 0 END, f.team, f.team_id
