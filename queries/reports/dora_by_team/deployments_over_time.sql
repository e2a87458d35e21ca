-- How many deployments has each team in each period?
-- Grain: one row per team and period
-- Dashboard: DORA by Team, Monthly Deployments
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A deployment belongs to a team if it is the first production deployment of a pull request by a present member
-- of the team, so it may belong to several teams. DevLake looks at the author of the deployed commit only, and by
-- e-mail, which matches no account. A person in two teams counts for both.
-- Note: A deployment of two projects counts once, and so does a release that reaches several environments.
-- Note: Periods without a deployment are 0. `partial` marks a period that `from` or `to` cuts, or that is not
-- collected as a whole; none is dropped, as DevLake drops the first.
WITH chosen AS (
    SELECT
        t.id AS team_id,
        t.name AS team
    FROM domain.teams AS t WHERE $team IS NULL OR list_contains($team, t.name)
),

deployments AS (
    SELECT
        s.team_id,
        d.release_id AS deployment_id,
        min(d.finished_date) AS finished_date
    FROM dora.deployments AS d
    INNER JOIN dora.team_deployments AS s ON s.deployment_id = d.deployment_id
    WHERE d.outcome = 'SUCCESS'
        AND ($project IS NULL OR list_contains($project, d.project_name))
        AND ($from IS NULL OR d.finished_date >= $from)
        AND ($to IS NULL OR d.finished_date < $to)
    GROUP BY s.team_id, d.release_id
),

calendar AS (
    SELECT DISTINCT CASE WHEN b.period = 'day' AND b.is_complete THEN cast(b.label AS timestamp) END AS midnight
    FROM config.buckets AS b
    WHERE ($project IS NULL OR list_contains($project, b.project_name))
        AND ($from IS NULL OR b.period_start >= $from)
        AND ($to IS NULL OR b.period_end <= $to)
),

days AS (
    SELECT midnight
    FROM calendar
    WHERE midnight IS NOT NULL
),

buckets AS (
    SELECT cast(date_trunc($interval, midnight) AS date) AS bucket FROM days
    UNION
    SELECT cast(date_trunc($interval, finished_date) AS date) FROM deployments
),

figures AS (
    SELECT
        c.team_id,
        c.team,
        cast(b.bucket AS timestamp) AS bucket,
        count(d.deployment_id) AS deployments,
        count(DISTINCT cast(d.finished_date AS date)) AS days
    FROM chosen AS c
    CROSS JOIN buckets AS b
    LEFT JOIN deployments AS d
        ON d.team_id = c.team_id AND cast(date_trunc($interval, d.finished_date) AS date) = b.bucket
    GROUP BY c.team_id, c.team, b.bucket
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS since,
        least(max(collected_until), $to) AS until
    FROM metrics.collected_windows
    WHERE $project IS NULL OR list_contains($project, project_name)
)

SELECT
    f.team,
    cast(f.bucket AS date) AS period,
    f.deployments,
    f.days AS "days with one",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.team, f.team_id, f.bucket
