-- How often does each team deploy to production?
-- Grain: one row per team
-- Dashboard: DORA by Team, Deployment Frequency
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: A deployment belongs to a team if it is the first production deployment of a pull request by a present member
-- of the team, so it may belong to several teams. DevLake looks at the author of the deployed commit only, and by
-- e-mail, which matches no account. A person in two teams counts for both.
-- Note: A deployment of two projects counts once, and so does a release that reaches several environments.
-- Note: Medians are over whole weeks and months of UTC days in the window, interpolated; DevLake takes the lower of
-- two middle values and cut weeks as whole ones. Classes are DevLake's for these days.
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
    WHERE $project IS NULL OR list_contains($project, b.project_name)
),

days AS (
    SELECT midnight
    FROM calendar
    WHERE midnight IS NOT NULL
        AND ($from IS NULL OR cast(midnight AS date) >= cast($from AS date))
        AND ($to IS NULL OR cast(midnight AS date) < cast($to AS date))
),

periods AS (
    SELECT
        'week' AS period,
        date_trunc('week', midnight) AS first_day,
        date_trunc('week', midnight) + interval '7 days' AS next_day
    FROM days
    GROUP BY date_trunc('week', midnight)
    HAVING min(midnight) = date_trunc('week', midnight) AND count(*) = 7
    UNION ALL
    SELECT
        'month',
        date_trunc('month', midnight),
        date_trunc('month', midnight) + interval '1 month'
    FROM days
    GROUP BY date_trunc('month', midnight)
    HAVING min(midnight) = date_trunc('month', midnight)
        AND max(midnight) + interval '1 day' = date_trunc('month', midnight) + interval '1 month'
),

counts AS (
    SELECT
        c.team_id,
        p.period,
        p.first_day,
        count(DISTINCT CASE
            WHEN d.finished_date >= p.first_day AND d.finished_date < p.next_day THEN date_trunc('day', d.finished_date)
        END) AS days
    FROM chosen AS c
    CROSS JOIN periods AS p
    LEFT JOIN deployments AS d ON d.team_id = c.team_id
    GROUP BY c.team_id, p.period, p.first_day
),

rhythms AS (
    SELECT
        team_id,
        median(cast(days AS double)) FILTER (WHERE period = 'week') AS per_week,
        median(cast(days AS double)) FILTER (WHERE period = 'month') AS per_month
    FROM counts
    GROUP BY team_id
),

totals AS (
    SELECT
        c.team_id,
        count(d.deployment_id) AS deployments,
        count(DISTINCT date_trunc('day', d.finished_date)) AS days,
        (SELECT count(*) FROM days) AS calendar_days
    FROM chosen AS c
    LEFT JOIN deployments AS d ON d.team_id = c.team_id
    GROUP BY c.team_id
),

frequencies AS (
    SELECT
        t.team_id,
        t.deployments,
        t.days,
        r.per_week,
        r.per_month,
        CASE
            WHEN t.deployments = 0 OR r.per_week IS NULL THEN NULL
            WHEN r.per_week >= 5 THEN 'elite'
            WHEN $report = 2021 AND r.per_month >= 1 THEN 'high'
            WHEN $report = 2021 AND t.days * 182 >= t.calendar_days THEN 'medium'
            WHEN $report = 2021 THEN 'low'
            WHEN r.per_week >= 1 THEN 'high'
            WHEN r.per_month >= 1 THEN 'medium'
            WHEN r.per_month < 1 THEN 'low'
        END AS class
    FROM totals AS t
    LEFT JOIN rhythms AS r ON r.team_id = t.team_id
),

benchmarks AS (
    SELECT
        elite,
        high,
        medium,
        low
    FROM metrics.dora_benchmarks
    WHERE metric = 'Deployment frequency' AND dora_report = cast($report AS varchar)
)

SELECT
    c.team,
    f.deployments,
    f.days AS "days with one",
    f.per_week AS "days per week",
    f.per_month AS "days per month",
    f.class,
    CASE f.class
        WHEN 'elite' THEN b.elite WHEN 'high' THEN b.high WHEN 'medium' THEN b.medium WHEN 'low' THEN b.low
    END AS benchmark,
    CASE WHEN f.deployments = 0 THEN 'no deployments' WHEN f.per_week IS NULL THEN 'no whole week' ELSE '' END AS note
FROM chosen AS c
INNER JOIN frequencies AS f ON f.team_id = c.team_id
LEFT JOIN benchmarks AS b ON TRUE
ORDER BY c.team, c.team_id
