-- What do DevLake's DORA dashboards show for each project?
--
-- Grain:  one row per project, report (2021, 2023), figure, and period: each month (the bar charts) and the window (the
--         numbers and classes above them)
-- Source: domain.cicd_deployment_commits, domain.incidents, domain.pull_requests, domain.project_mapping,
--         dora.project_pr_metrics and dora.project_incident_deployment_relationships: DevLake's columns of them only
--
-- Rules:
-- * Days, months and the window are config.buckets', so they are DevLake's for a project in UTC; its window is the
--   picker's. Everything is inside the window, but the months of the time to restore service, as in DevLake.
-- * A deployment is one cicd_deployment_id whose commits are SUCCESS in PRODUCTION; it finished when its last one did.
-- * Median: the lower one, sorted[floor((n - 1) / 2)], nulls first: a null there makes the figure null.
-- * Deployment frequency of a month: deployments. Of the window: from the last 400 days, cut into calendar weeks from
--   Monday and calendar months, w and m = the median of days with a deployment per week and per month. For six months,
--   s = such days in a month and the five before it; of the months counted back from the newest within six years
--   (floor(year / 6)) each sixth is kept, and h is the least s whose percent_rank is 0.5 or more, which no s has when
--   all are equal. Classes test in order. 2023: w >= 5 elite, w >= 1 high, m >= 1 medium, else low; 2021: w >= 5 elite,
--   m >= 1 high, h >= 1 medium, else low; low only where h is known, else N/A. The value is the number of the label.
-- * Lead time: minutes, over distinct pairs of pull request and cycle time whose deployment finished in the period. By
--   the pull request's id alone: one of a repository in two projects counts twice where their cycle times differ.
-- * Change failure rate: deployments with an incident that still exists; no matter when, nor for which project.
-- * Recovery, 2023: whole minutes from a deployment's end to the resolution of each incident linked to it, if that was
--   in the window too, in the period of the deployment. 2021: lead_time_minutes of the incidents resolved in the
--   period.
-- * A month without a lead or recovery time shows 0, one without deployments no rate. Without any incident at all the
--   rate of the window is 0 with class N/A; without a linked one the recovery of 2023 has no text.
WITH periods AS (
    SELECT
        b.project_name,
        b.period,
        b.period_start,
        b.period_end,
        greatest(b.period_start, w.period_start) AS inside_from,
        least(b.period_end, w.period_end) AS inside_to,
        w.period_start AS window_start,
        w.period_end AS window_end
    FROM config.buckets AS b
    INNER JOIN config.buckets AS w ON w.project_name = b.project_name AND w.period = 'all'
    WHERE b.period IN ('month', 'all') AND b.period_start < w.period_end AND b.period_end > w.period_start
),

production AS (
    SELECT
        m.project_name,
        c.cicd_deployment_id,
        max(c.finished_date) AS finished_date
    FROM domain.cicd_deployment_commits AS c
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = c.cicd_scope_id
    WHERE c.result = 'SUCCESS' AND c.environment = 'PRODUCTION'
    GROUP BY m.project_name, c.cicd_deployment_id
),

blamed AS (
    SELECT DISTINCT r.deployment_id
    FROM dora.project_incident_deployment_relationships AS r
    INNER JOIN domain.incidents AS i ON i.id = r.id
),

deployments AS (
    SELECT
        p.project_name,
        p.period,
        p.period_start,
        count(*) AS n,
        count(b.deployment_id) AS failed
    FROM periods AS p
    INNER JOIN production AS d
        ON d.project_name = p.project_name AND d.finished_date >= p.inside_from AND d.finished_date < p.inside_to
    LEFT JOIN blamed AS b ON b.deployment_id = d.cicd_deployment_id
    GROUP BY p.project_name, p.period, p.period_start
),

-- 400 days back from the window's last; half a day more, since a day may have 23 or 25 hours
days AS (
    SELECT
        b.project_name,
        b.period_start,
        b.period_end,
        b.label,
        cast(b.label AS date) AS day
    FROM config.buckets AS b
    INNER JOIN periods AS w ON w.project_name = b.project_name AND w.period = 'all'
    WHERE b.period = 'day' AND b.period_start >= w.window_start AND b.period_start < w.window_end
        AND b.period_start >= w.window_end - interval '9612 hours'
),

busy_days AS (
    SELECT DISTINCT
        d.project_name,
        d.period_start
    FROM days AS d
    INNER JOIN production AS p
        ON p.project_name = d.project_name AND p.finished_date >= d.period_start AND p.finished_date < d.period_end
),

calendar AS (
    SELECT
        d.project_name,
        date_trunc('week', d.day) AS week_start,
        substr(d.label, 1, 7) AS calendar_month,
        floor(extract(YEAR FROM d.day) / 6.0) AS six_years,
        CASE WHEN b.period_start IS NULL THEN 0 ELSE 1 END AS busy
    FROM days AS d
    LEFT JOIN busy_days AS b ON b.project_name = d.project_name AND b.period_start = d.period_start
),

weekly AS (
    SELECT
        project_name,
        sorted[cast(floor((size + 1) / 2.0) AS bigint)] AS per_week
    FROM (
        SELECT
            project_name,
            array_agg(n ORDER BY n NULLS FIRST) AS sorted,
            count(*) AS size
        FROM (SELECT
            project_name,
            week_start,
            sum(busy) AS n
        FROM calendar GROUP BY project_name, week_start) AS w
        GROUP BY project_name
    ) AS weeks
),

months AS (
    SELECT
        project_name,
        calendar_month,
        six_years,
        sum(busy) AS n
    FROM calendar
    GROUP BY project_name, calendar_month, six_years
),

monthly AS (
    SELECT
        project_name,
        sorted[cast(floor((size + 1) / 2.0) AS bigint)] AS per_month
    FROM (
        SELECT
            project_name,
            array_agg(n ORDER BY n NULLS FIRST) AS sorted,
            count(*) AS size
        FROM months
        GROUP BY project_name
    ) AS m
),

six_months AS (
    SELECT
        project_name,
        sum(n) OVER (
            PARTITION BY project_name ORDER BY calendar_month NULLS FIRST ROWS BETWEEN 5 PRECEDING AND CURRENT ROW
        ) AS n,
        row_number() OVER (PARTITION BY project_name, six_years ORDER BY calendar_month DESC) AS back
    FROM months
),

ranked_six_months AS (
    SELECT
        project_name,
        n,
        percent_rank() OVER (PARTITION BY project_name ORDER BY n) AS rank_of_n
    FROM six_months
    WHERE (back - 1) % 6 = 0
),

half_yearly AS (
    SELECT
        project_name,
        min(n) AS per_six_months
    FROM ranked_six_months
    WHERE rank_of_n >= 0.5
    GROUP BY project_name
),

rhythms AS (
    SELECT
        p.project_name,
        w.per_week AS w,
        m.per_month AS m,
        h.per_six_months AS h
    FROM periods AS p
    LEFT JOIN weekly AS w ON w.project_name = p.project_name
    LEFT JOIN monthly AS m ON m.project_name = p.project_name
    LEFT JOIN half_yearly AS h ON h.project_name = p.project_name
    WHERE p.period = 'all'
),

frequencies AS (
    SELECT
        project_name,
        2023 AS report,
        w,
        m,
        h,
        CASE WHEN w >= 5 THEN 'elite' WHEN w >= 1 THEN 'high' WHEN m >= 1 THEN 'medium'
            WHEN m < 1 AND h IS NOT NULL THEN 'low' ELSE 'N/A'
        END AS class
    FROM rhythms
    UNION ALL
    SELECT
        project_name,
        2021 AS report,
        w,
        m,
        h,
        CASE WHEN w >= 5 THEN 'elite' WHEN m >= 1 THEN 'high' WHEN h >= 1 THEN 'medium'
            WHEN h < 1 THEN 'low' ELSE 'N/A'
        END AS class
    FROM rhythms
),

frequency_labels AS (
    SELECT
        project_name,
        report,
        class,
        CASE WHEN class = 'elite' OR class = 'high' AND report = 2023 THEN w
            WHEN class = 'high' OR class IN ('medium', 'low') AND report = 2023 THEN m
            WHEN class IN ('medium', 'low') THEN h
        END AS n,
        CASE WHEN class = 'elite' OR class = 'high' AND report = 2023 THEN 'week'
            WHEN class = 'high' OR report = 2023 THEN 'month'
            ELSE 'six months'
        END AS per
    FROM frequencies
),

cycles AS (
    SELECT DISTINCT
        p.project_name,
        p.period,
        p.period_start,
        r.id,
        m.pr_cycle_time
    FROM domain.pull_requests AS r
    INNER JOIN domain.project_mapping AS a ON a."table" = 'repos' AND a.row_id = r.base_repo_id
    INNER JOIN dora.project_pr_metrics AS m ON m.id = r.id
    INNER JOIN domain.cicd_deployment_commits AS c ON c.id = m.deployment_commit_id
    INNER JOIN periods AS p
        ON p.project_name = a.project_name AND c.finished_date >= p.inside_from AND c.finished_date < p.inside_to
    WHERE r.merged_date IS NOT NULL
),

lead_times AS (
    SELECT
        project_name,
        period,
        period_start,
        sorted[cast(floor((size + 1) / 2.0) AS bigint)] AS minutes
    FROM (
        SELECT
            project_name,
            period,
            period_start,
            array_agg(pr_cycle_time ORDER BY pr_cycle_time NULLS FIRST) AS sorted,
            count(*) AS size
        FROM cycles
        GROUP BY project_name, period, period_start
    ) AS c
),

recovery_seconds AS (
    SELECT
        p.project_name,
        p.period,
        p.period_start,
        round((extract(EPOCH FROM i.resolution_date) - extract(EPOCH FROM d.finished_date)) * 1000000)
        / 1000000.0 AS seconds
    FROM dora.project_incident_deployment_relationships AS r
    INNER JOIN domain.incidents AS i ON i.id = r.id
    INNER JOIN production AS d ON d.cicd_deployment_id = r.deployment_id
    INNER JOIN periods AS p
        ON p.project_name = d.project_name AND d.finished_date >= p.inside_from AND d.finished_date < p.inside_to
            AND i.resolution_date >= p.window_start AND i.resolution_date < p.window_end
    WHERE i.resolution_date >= i.created_date AND i.resolution_date >= d.finished_date
),

recoveries AS (
    SELECT
        project_name,
        period,
        period_start,
        cast(floor(seconds / 60) AS bigint) AS minutes
    FROM recovery_seconds
),

restorations AS (
    SELECT DISTINCT
        p.project_name,
        p.period,
        p.period_start,
        i.id,
        i.lead_time_minutes AS minutes
    FROM domain.incidents AS i
    INNER JOIN domain.project_mapping AS a ON a."table" = i."table" AND a.row_id = i.scope_id
    INNER JOIN periods AS p
        ON p.project_name = a.project_name AND i.resolution_date >= p.period_start AND i.resolution_date < p.period_end
    WHERE p.period = 'all' OR i.lead_time_minutes IS NOT NULL
),

recovery_times AS (
    SELECT
        project_name,
        period,
        period_start,
        report,
        sorted[cast(floor((size + 1) / 2.0) AS bigint)] AS minutes
    FROM (
        SELECT
            project_name,
            period,
            period_start,
            report,
            array_agg(minutes ORDER BY minutes NULLS FIRST) AS sorted,
            count(*) AS size
        FROM (
            SELECT
                project_name,
                period,
                period_start,
                2023 AS report,
                minutes
            FROM recoveries
            UNION ALL
            SELECT
                project_name,
                period,
                period_start,
                2021 AS report,
                minutes
            FROM restorations
        ) AS r
        GROUP BY project_name, period, period_start, report
    ) AS t
),

linked AS (
    SELECT DISTINCT d.project_name
    FROM production AS d
    INNER JOIN blamed AS b ON b.deployment_id = d.cicd_deployment_id
),

any_incident AS (
    SELECT count(*) > 0 AS there_are FROM domain.incidents
),

reports AS (
    SELECT
        p.*,
        y.report
    FROM periods AS p
    CROSS JOIN (VALUES (2021), (2023)) AS y (report)
),

times_and_rates AS (
    SELECT
        p.project_name,
        p.report,
        'change_lead_time' AS metric,
        p.period,
        p.period_start,
        cast(CASE WHEN p.period = 'month' THEN coalesce(t.minutes, 0) ELSE t.minutes END AS double) AS value,
        60.0 AS unit_seconds,
        TRUE AS is_shown,
        TRUE AS is_known
    FROM reports AS p
    LEFT JOIN lead_times AS t
        ON t.project_name = p.project_name AND t.period = p.period AND t.period_start = p.period_start
    UNION ALL
    SELECT
        p.project_name,
        p.report,
        'change_failure_rate',
        p.period,
        p.period_start,
        cast(d.failed AS double) / d.n,
        1.0,
        TRUE,
        i.there_are
    FROM reports AS p
    CROSS JOIN any_incident AS i
    LEFT JOIN deployments AS d
        ON d.project_name = p.project_name AND d.period = p.period AND d.period_start = p.period_start
    UNION ALL
    SELECT
        p.project_name,
        p.report,
        'failed_deployment_recovery_time',
        p.period,
        p.period_start,
        cast(CASE WHEN p.period = 'month' THEN coalesce(t.minutes, 0) ELSE t.minutes END AS double),
        60.0,
        p.report = 2021 OR l.project_name IS NOT NULL,
        TRUE
    FROM reports AS p
    LEFT JOIN linked AS l ON l.project_name = p.project_name
    LEFT JOIN recovery_times AS t
        ON t.project_name = p.project_name AND t.period = p.period AND t.period_start = p.period_start
            AND t.report = p.report
),

classified AS (
    SELECT
        t.project_name,
        t.report,
        t.metric,
        t.period,
        t.period_start,
        t.value,
        CASE WHEN t.period = 'all' AND t.is_shown
                THEN coalesce(CASE WHEN t.is_known THEN b.band END, 'N/A')
        END AS class
    FROM times_and_rates AS t
    LEFT JOIN metrics.benchmarks AS b
        ON b.source = 'devlake' AND b.year = t.report AND b.metric = t.metric
            AND (
                b.lower IS NULL
                OR t.value * t.unit_seconds > b.lower
                OR b.lower_inclusive AND t.value * t.unit_seconds = b.lower
            )
            AND (
                b.upper IS NULL
                OR t.value * t.unit_seconds < b.upper
                OR b.upper_inclusive AND t.value * t.unit_seconds = b.upper
            )
            AND t.value IS NOT NULL
)

SELECT
    project_name,
    report,
    metric,
    period,
    period_start,
    value,
    class,
    CASE WHEN class IS NULL OR class = 'N/A' THEN class
        WHEN metric = 'change_failure_rate' THEN cast(round(value * 1000) / 10 AS varchar) || '%(' || class || ')'
        ELSE cast(round(value / 6) / 10 AS varchar) || '(' || class || ')'
    END AS label
FROM classified
UNION ALL
SELECT
    p.project_name,
    p.report,
    'deployment_frequency',
    p.period,
    p.period_start,
    cast(coalesce(d.n, 0) AS double),
    cast(NULL AS varchar),
    cast(NULL AS varchar)
FROM reports AS p
LEFT JOIN deployments AS d
    ON d.project_name = p.project_name AND d.period = p.period AND d.period_start = p.period_start
WHERE p.period = 'month'
UNION ALL
SELECT
    p.project_name,
    p.report,
    'deployment_frequency',
    p.period,
    p.period_start,
    cast(f.n AS double),
    f.class,
    CASE WHEN f.class = 'N/A' THEN f.class
        ELSE cast(f.n AS varchar) || ' deployment days per ' || f.per || '(' || f.class || ')'
    END
FROM reports AS p
INNER JOIN frequency_labels AS f ON f.project_name = p.project_name AND f.report = p.report
WHERE p.period = 'all'
