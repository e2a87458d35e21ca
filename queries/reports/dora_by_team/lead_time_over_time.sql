-- How does the lead time of each team develop?
-- Grain: one row per team and period
-- Dashboard: DORA by Team, Median Lead Time for Changes by Month
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   in production at or after
-- param: to timestamp = null   in production before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A change is a team's when a present member wrote its pull request. A person in two teams counts for both. A
-- pull request of two projects counts once.
-- Note: By the time of deployment. A period without changes has no row, where DevLake shows 0. `partial` marks a
-- period that `from` or `to` cuts, or that is not collected as a whole; none is dropped, as DevLake drops the first.
WITH chosen AS (
    SELECT
        t.id AS team_id,
        t.name AS team
    FROM domain.teams AS t WHERE $team IS NULL OR list_contains($team, t.name)
),

changes AS (
    SELECT
        t.team_id,
        x.id,
        min(x.deployed_date) AS deployed_date,
        min(x.lead_time_seconds) AS seconds
    FROM dora.team_changes AS t
    INNER JOIN dora.project_pr_metrics AS x ON x.project_name = t.project_name AND x.id = t.pull_request_id
    WHERE x.exclusion_reason IS NULL
        AND x.lead_time_seconds IS NOT NULL
        AND ($project IS NULL OR list_contains($project, x.project_name))
        AND ($from IS NULL OR x.deployed_date >= $from)
        AND ($to IS NULL OR x.deployed_date < $to)
    GROUP BY t.team_id, x.id
),

figures AS (
    SELECT
        team_id,
        date_trunc($interval, deployed_date) AS bucket,
        count(*) AS changes,
        median(cast(seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(seconds AS double)) AS p90_seconds
    FROM changes
    GROUP BY team_id, date_trunc($interval, deployed_date)
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS since,
        least(max(collected_until), $to) AS until
    FROM metrics.collected_windows
    WHERE $project IS NULL OR list_contains($project, project_name)
)

SELECT
    c.team,
    cast(f.bucket AS date) AS period,
    f.changes,
    round(f.seconds / 360.0) / 10.0 AS "median h",
    round(f.p90_seconds / 360.0) / 10.0 AS "p90 h",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
INNER JOIN chosen AS c ON c.team_id = f.team_id
CROSS JOIN known AS k
ORDER BY c.team, c.team_id, f.bucket
