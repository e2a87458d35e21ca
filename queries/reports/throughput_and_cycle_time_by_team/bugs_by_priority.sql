-- How many bugs of which priority does each team get?
-- Grain: one row per period, team and priority
-- Dashboard: Engineering Throughput and Cycle Time (Team View), P0/P1 Bugs
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: priority varchar[] = null   only these priorities
-- param: from timestamp = null   reported at or after
-- param: to timestamp = null   reported before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A team's issues are those that a present member is assigned to. A person in two teams counts for both, and
-- once in `(all teams)`, which covers everyone who is in a team.
-- Note: One row per priority, in Bitbucket's words: blocker, critical, major, minor, trivial. DevLake adds the
-- selected ones up.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH base AS (
    SELECT
        i.id,
        date_trunc($interval, i.created_date) AS bucket,
        i.priority
    FROM domain.issues AS i
    WHERE i.created_date IS NOT NULL
        AND i.type = 'BUG'
        AND ($priority IS NULL OR list_contains($priority, i.priority))
        AND ($from IS NULL OR i.created_date >= $from)
        AND ($to IS NULL OR i.created_date < $to)
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
        priority,
        count(*) AS bugs
    FROM by_team GROUP BY team_id, team, members, bucket, priority
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
    f.priority,
    f.bugs,
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket, CASE WHEN f.team_id = '' THEN 1 ELSE 0 END, f.team, f.team_id, f.priority
