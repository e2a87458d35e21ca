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
-- two middle values and cut weeks as whole ones. The class is DORA's (metrics.dora_classes) for the deployments per week,
-- over the whole days of the window.
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
        CASE WHEN t.deployments > 0 THEN cast(t.deployments AS double) / nullif(t.calendar_days, 0) END AS per_day
    FROM totals AS t
    LEFT JOIN rhythms AS r ON r.team_id = t.team_id
)

SELECT
    c.team,
    f.deployments,
    f.days AS "days with one",
    f.per_week AS "days per week",
    f.per_month AS "days per month",
    round(70 * f.per_day) / 10 AS "per week",
    b.class,
    b.text AS benchmark,
    CASE
        WHEN f.deployments = 0 THEN 'no deployments'
        WHEN f.per_day IS NULL THEN 'no whole day'
        WHEN b.class IS NULL THEN 'too few for a class'
        ELSE ''
    END AS note
FROM chosen AS c
INNER JOIN frequencies AS f ON f.team_id = c.team_id
LEFT JOIN metrics.dora_classes AS b
    ON b.year = $report AND b.metric = 'deployment_frequency' AND f.deployments >= b.minimum_n
        AND (b.lower IS NULL OR f.per_day > b.lower OR b.lower_inclusive AND f.per_day = b.lower)
        AND (b.upper IS NULL OR f.per_day < b.upper OR b.upper_inclusive AND f.per_day = b.upper)
        AND f.per_day IS NOT NULL
ORDER BY c.team, c.team_id
