-- Where does each project stand in the five figures, in which class, and in which direction does it move?
--
-- Grain:  one row per project and figure
-- Source: metrics.dora, metrics.dora_classes; for a part of the collected time config.buckets, dora.deployments and
--         dora.project_pr_metrics
--
-- Rules:
-- * Without from and to, the figures are those of the whole window in metrics.dora. With them, counts are added up over
--   the days, and medians are taken over the rows of these days.
-- * Deployments are per week, times in hours (medians), rates in percent, rounded as in dora/overview.
-- * "last value" and "previous value" are those of the last two periods that were over at the last run. trend says
--   whether the later one is better; it is empty where one of them has no value or too few rows, and trend reason says
--   why.
-- * A class needs minimum_n rows (metrics.dora_classes), and so do both periods of a trend, except for the deployment
--   frequency, which is a number of rows itself. The deployment rework rate has no published classes.
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- param: interval varchar = month   the periods of the trend, one of: week, month
-- param: report bigint = 2023   the year of DORA's report for the classes, 2021 to 2024
WITH days AS (
    SELECT
        project_name,
        count(*) AS days,
        min(period_start) AS begins,
        max(period_end) AS ends
    FROM config.buckets
    WHERE period = 'day'
        AND ($project IS NULL OR list_contains($project, project_name))
        AND ($from IS NULL OR period_start >= $from)
        AND ($to IS NULL OR period_end <= $to)
    GROUP BY project_name
),

periods AS (
    SELECT f.*
    FROM metrics.dora AS f
    INNER JOIN days AS d ON d.project_name = f.project_name
    WHERE f.scope = 'project'
        AND (
            f.period = 'all' AND $from IS NULL AND $to IS NULL
            OR f.period IN ('day', $interval) AND f.period_start >= d.begins AND f.period_end <= d.ends
        )
),

-- a day without deployments or changes is no gap in the figure of several days
sums AS (
    SELECT
        project_name,
        metric,
        sum(n) AS n,
        sum(numerator) AS numerator,
        max(
            CASE
                WHEN reason NOT IN ('no deployments', 'no changes', 'no failures', 'no recovered failures') THEN reason
            END
        ) AS gap,
        bool_and(coalesce(reason = 'no deployments', FALSE)) AS is_never_deployed,
        max(note) AS note
    FROM periods
    WHERE period = 'day'
    GROUP BY project_name, metric
),

durations AS (
    SELECT
        p.project_name,
        'change_lead_time' AS metric,
        count(*) AS n,
        median(cast(p.lead_time_seconds AS double)) AS median,
        percentile_cont(0.75) WITHIN GROUP (ORDER BY cast(p.lead_time_seconds AS double)) AS p75,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(p.lead_time_seconds AS double)) AS p90
    FROM dora.project_pr_metrics AS p
    INNER JOIN days AS d
        ON d.project_name = p.project_name AND p.deployed_date >= d.begins AND p.deployed_date < d.ends
    WHERE p.exclusion_reason IS NULL AND p.lead_time_seconds IS NOT NULL
    GROUP BY p.project_name
    UNION ALL
    SELECT
        p.project_name,
        'failed_deployment_recovery_time',
        count(*),
        median(cast(p.recovery_seconds AS double)),
        percentile_cont(0.75) WITHIN GROUP (ORDER BY cast(p.recovery_seconds AS double)),
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(p.recovery_seconds AS double))
    FROM dora.deployments AS p
    INNER JOIN days AS d
        ON d.project_name = p.project_name AND p.finished_date >= d.begins AND p.finished_date < d.ends
    WHERE p.is_failed AND p.recovery_seconds IS NOT NULL
    GROUP BY p.project_name
),

figures AS (
    SELECT
        project_name,
        metric,
        coalesce(CASE WHEN metric = 'deployment_frequency' THEN mean END, value) AS value,
        p75,
        p90,
        n,
        reason,
        note
    FROM periods
    WHERE period = 'all'
    UNION ALL
    SELECT
        d.project_name,
        m.metric,
        CASE
            WHEN s.gap IS NOT NULL THEN NULL
            WHEN m.metric = 'deployment_frequency' AND NOT s.is_never_deployed
                THEN cast(s.n AS double) / nullif(d.days, 0)
            WHEN m.metric IN ('change_failure_rate', 'deployment_rework_rate')
                THEN cast(s.numerator AS double) / nullif(s.n, 0)
            ELSE t.median
        END,
        CASE WHEN s.gap IS NULL THEN t.p75 END,
        CASE WHEN s.gap IS NULL THEN t.p90 END,
        coalesce(CASE WHEN m.is_duration THEN t.n ELSE s.n END, 0),
        CASE
            WHEN s.gap IS NOT NULL THEN s.gap
            WHEN m.metric = 'deployment_frequency' THEN CASE WHEN coalesce(s.is_never_deployed, TRUE) THEN m.nothing END
            WHEN m.is_duration AND t.n IS NOT NULL THEN NULL
            WHEN m.metric = 'failed_deployment_recovery_time' AND coalesce(r.numerator, 0) = 0 THEN 'no failures'
            WHEN m.is_duration THEN m.nothing
            WHEN coalesce(s.n, 0) = 0 THEN m.nothing
        END,
        s.note
    FROM days AS d
    CROSS JOIN (
        VALUES
        ('deployment_frequency', FALSE, 'no deployments'),
        ('change_lead_time', TRUE, 'no changes'),
        ('change_failure_rate', FALSE, 'no deployments'),
        ('failed_deployment_recovery_time', TRUE, 'no recovered failures'),
        ('deployment_rework_rate', FALSE, 'no deployments')
    ) AS m (metric, is_duration, nothing)
    LEFT JOIN sums AS s ON s.project_name = d.project_name AND s.metric = m.metric
    LEFT JOIN sums AS r ON r.project_name = d.project_name AND r.metric = 'change_failure_rate'
    LEFT JOIN durations AS t ON t.project_name = d.project_name AND t.metric = m.metric
    WHERE $from IS NOT NULL OR $to IS NOT NULL
),

recent AS (
    SELECT
        project_name,
        metric,
        label,
        value,
        n,
        reason,
        row_number() OVER (PARTITION BY project_name, metric ORDER BY period_start DESC) AS place
    FROM periods
    WHERE period = $interval AND is_complete
),

trends AS (
    SELECT
        project_name,
        metric,
        max(CASE WHEN place = 1 THEN label END) AS last_period,
        max(CASE WHEN place = 1 THEN value END) AS last_value,
        max(CASE WHEN place = 1 THEN n END) AS last_n,
        max(CASE WHEN place = 1 THEN reason END) AS last_reason,
        max(CASE WHEN place = 2 THEN label END) AS previous_period,
        max(CASE WHEN place = 2 THEN value END) AS previous_value,
        max(CASE WHEN place = 2 THEN n END) AS previous_n,
        max(CASE WHEN place = 2 THEN reason END) AS previous_reason
    FROM recent
    WHERE place <= 2
    GROUP BY project_name, metric
),

least_rows AS (
    SELECT max(minimum_n) AS n
    FROM metrics.dora_classes
),

-- in the units of the page
shown AS (
    SELECT
        f.project_name,
        f.metric,
        u.title,
        u.place,
        u.unit,
        u.is_more_better,
        f.value,
        round(u.factor * f.value / u.divisor) / 10 AS shown_value,
        CASE WHEN u.unit = 'h' THEN round(u.factor * f.p75 / u.divisor) / 10 END AS p75,
        CASE WHEN u.unit = 'h' THEN round(u.factor * f.p90 / u.divisor) / 10 END AS p90,
        f.n,
        f.reason,
        f.note,
        t.last_period,
        round(u.factor * t.last_value / u.divisor) / 10 AS last_value,
        t.last_reason,
        CASE WHEN f.metric <> 'deployment_frequency' AND t.last_n < l.n THEN t.last_n END AS last_few,
        t.previous_period,
        round(u.factor * t.previous_value / u.divisor) / 10 AS previous_value,
        t.previous_reason,
        CASE WHEN f.metric <> 'deployment_frequency' AND t.previous_n < l.n THEN t.previous_n END AS previous_few
    FROM figures AS f
    CROSS JOIN least_rows AS l
    INNER JOIN (
        VALUES
        ('deployment_frequency', 'Deployment frequency', 1, 'per week', 70.0, 1.0, TRUE),
        ('change_lead_time', 'Lead time for changes', 2, 'h', 1.0, 360.0, FALSE),
        ('change_failure_rate', 'Change failure rate', 3, '%', 1000.0, 1.0, FALSE),
        ('failed_deployment_recovery_time', 'Failed deployment recovery time', 4, 'h', 1.0, 360.0, FALSE),
        ('deployment_rework_rate', 'Deployment rework rate', 5, '%', 1000.0, 1.0, FALSE)
    ) AS u (metric, title, place, unit, factor, divisor, is_more_better) ON u.metric = f.metric
    LEFT JOIN trends AS t ON t.project_name = f.project_name AND t.metric = f.metric
)

SELECT
    s.project_name AS project,
    s.metric,
    s.title,
    s.shown_value AS value,
    s.unit,
    s.n,
    s.p75,
    s.p90,
    c.class,
    c.text AS benchmark,
    CASE
        WHEN c.class IS NOT NULL OR s.reason IS NOT NULL THEN NULL
        WHEN s.metric = 'deployment_rework_rate' THEN 'no published classes'
        ELSE 'too few for a class'
    END AS "class reason",
    s.reason,
    s.note,
    s.last_period AS "last period",
    s.last_value AS "last value",
    s.previous_period AS "previous period",
    s.previous_value AS "previous value",
    CASE
        WHEN s.last_value IS NULL OR s.previous_value IS NULL THEN NULL
        WHEN s.last_few IS NOT NULL OR s.previous_few IS NOT NULL THEN NULL
        WHEN s.last_value = s.previous_value THEN 'the same'
        WHEN s.is_more_better = (s.last_value > s.previous_value) THEN 'better'
        ELSE 'worse'
    END AS trend,
    CASE
        WHEN s.last_period IS NULL THEN 'no period is over'
        WHEN s.last_value IS NULL THEN coalesce(s.last_reason, 'no value') || ' in ' || s.last_period
        WHEN s.previous_period IS NULL THEN 'no period before ' || s.last_period
        WHEN s.previous_value IS NULL THEN coalesce(s.previous_reason, 'no value') || ' in ' || s.previous_period
        WHEN s.last_few IS NOT NULL THEN 'too few (n = ' || cast(s.last_few AS varchar) || ') in ' || s.last_period
        WHEN s.previous_few IS NOT NULL
            THEN 'too few (n = ' || cast(s.previous_few AS varchar) || ') in ' || s.previous_period
    END AS "trend reason"
FROM shown AS s
LEFT JOIN metrics.dora_classes AS c
    ON c.year = $report AND c.metric = s.metric AND s.n >= c.minimum_n AND s.value IS NOT NULL
        AND (c.lower IS NULL OR s.value > c.lower OR c.lower_inclusive AND s.value = c.lower)
        AND (c.upper IS NULL OR s.value < c.upper OR c.upper_inclusive AND s.value = c.upper)
ORDER BY s.project_name, s.place
