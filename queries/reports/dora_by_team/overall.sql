-- How does each team stand in DORA's four figures, and in which class?
-- Grain: one row per team and figure
-- Dashboard: DORA by Team, Overall DORA Metrics
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   finished or in production at or after
-- param: to timestamp = null   finished or in production before
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: A deployment belongs to a team if it is the first production deployment of a pull request by a present member
-- of the team, so it may belong to several teams. DevLake looks at the author of the deployed commit only, and by
-- e-mail, which matches no account. A person in two teams counts for both.
-- Note: A deployment of two projects counts once.
-- Note: Each figure is that of the panel of its name. Classes are DORA's for the report
-- (metrics.dora_classes); a figure without data, or of too few rows for a class, has a note. The last figure is failed deployment recovery time (2023) or time to restore service
-- (2021).
WITH chosen AS (
    SELECT
        t.id AS team_id,
        t.name AS team
    FROM domain.teams AS t WHERE $team IS NULL OR list_contains($team, t.name)
),

deployments AS (
    SELECT
        s.team_id,
        d.deployment_id,
        d.environment,
        min(d.release_id) AS release_id,
        max(d.finished_date) AS finished_date,
        bool_or(d.outcome = 'SUCCESS') AS is_success,
        bool_or(d.is_failed) AS is_failed,
        bool_or(u.project_name IS NULL) AS is_known,
        min(CASE WHEN d.is_failed THEN d.recovery_seconds END) AS recovery_seconds
    FROM dora.deployments AS d
    INNER JOIN dora.team_deployments AS s ON s.deployment_id = d.deployment_id
    LEFT JOIN metrics.dora AS u
        ON u.project_name = d.project_name AND u.scope = 'project' AND u.period = 'all'
            AND u.metric = 'change_failure_rate' AND u.reason LIKE 'no incident source%'
    WHERE ($project IS NULL OR list_contains($project, d.project_name))
        AND ($from IS NULL OR d.finished_date >= $from)
        AND ($to IS NULL OR d.finished_date < $to)
    GROUP BY s.team_id, d.deployment_id, d.environment
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

totals AS (
    SELECT
        c.team_id,
        count(DISTINCT d.release_id) AS deployments,
        count(DISTINCT date_trunc('day', d.finished_date)) AS days,
        (SELECT count(*) FROM days) AS calendar_days
    FROM chosen AS c
    LEFT JOIN deployments AS d ON d.team_id = c.team_id AND d.is_success
    GROUP BY c.team_id
),

frequencies AS (
    SELECT
        team_id,
        deployments,
        CASE WHEN deployments > 0 THEN cast(deployments AS double) / nullif(calendar_days, 0) END AS per_day
    FROM totals
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

assignees AS (
    SELECT
        i.project_name,
        i.incident_id,
        s.assignee_id,
        i.resolution_date,
        i.recovery_seconds
    FROM dora.incidents AS i
    INNER JOIN domain.incident_assignees AS s ON s.incident_id = i.incident_id
    WHERE ($project IS NULL OR list_contains($project, i.project_name))
        AND ($from IS NULL OR i.resolution_date >= $from)
        AND ($to IS NULL OR i.resolution_date < $to)
),

incidents AS (
    SELECT
        t.team_id,
        i.incident_id,
        min(i.resolution_date) AS resolution_date,
        min(i.recovery_seconds) AS seconds
    FROM assignees AS i
    INNER JOIN dora.team_members AS t ON t.account_id = i.assignee_id AND t.account_id <> ''
    WHERE i.recovery_seconds IS NOT NULL
    GROUP BY t.team_id, i.incident_id
),

recoveries AS (
    SELECT
        team_id,
        finished_date AS happened,
        recovery_seconds AS seconds
    FROM deployments
    WHERE $report <> 2021 AND is_failed
    UNION ALL
    SELECT
        team_id,
        resolution_date,
        seconds
    FROM incidents WHERE $report = 2021
),

lead_times AS (
    SELECT
        team_id,
        count(*) AS n,
        median(cast(seconds AS double)) AS value
    FROM changes GROUP BY team_id
),

failures AS (
    SELECT
        team_id,
        count(*) AS ended,
        count(*) FILTER (WHERE is_known AND (is_success OR is_failed)) AS n,
        count(*) FILTER (WHERE is_known AND is_failed) AS failed
    FROM deployments
    GROUP BY team_id
),

recovery_times AS (
    SELECT
        team_id,
        count(seconds) AS n,
        median(cast(seconds AS double)) AS value
    FROM recoveries GROUP BY team_id
),

figures AS (
    SELECT
        c.team_id,
        c.team,
        1 AS place,
        'deployment_frequency' AS metric,
        'Deployment frequency' AS title,
        f.deployments AS n,
        f.per_day AS value,
        CASE WHEN f.deployments = 0 THEN 'no deployments' ELSE 'no whole day' END AS reason
    FROM chosen AS c
    INNER JOIN frequencies AS f ON f.team_id = c.team_id
    UNION ALL
    SELECT
        c.team_id,
        c.team,
        2,
        'change_lead_time',
        'Lead time for changes',
        coalesce(l.n, 0),
        l.value,
        'no changes'
    FROM chosen AS c
    LEFT JOIN lead_times AS l ON l.team_id = c.team_id
    UNION ALL
    SELECT
        c.team_id,
        c.team,
        3,
        'change_failure_rate',
        'Change failure rate',
        coalesce(x.n, 0),
        cast(x.failed AS double) / nullif(x.n, 0),
        CASE WHEN x.ended > 0 THEN 'no incident source' ELSE 'no deployments' END
    FROM chosen AS c
    LEFT JOIN failures AS x ON x.team_id = c.team_id
    UNION ALL
    SELECT
        c.team_id,
        c.team,
        4,
        'failed_deployment_recovery_time',
        CASE WHEN $report = 2021 THEN 'Time to restore service' ELSE 'Failed deployment recovery time' END,
        coalesce(x.n, 0),
        x.value,
        CASE WHEN $report = 2021 THEN 'no resolved incidents' ELSE 'no recovered failures' END
    FROM chosen AS c
    LEFT JOIN recovery_times AS x ON x.team_id = c.team_id
),

classified AS (
    SELECT
        f.team_id,
        f.team,
        f.place,
        f.metric,
        f.title,
        f.n,
        f.value,
        f.reason,
        b.class,
        b.text AS benchmark
    FROM figures AS f
    LEFT JOIN metrics.dora_classes AS b
        ON b.year = $report AND b.metric = f.metric AND f.n >= b.minimum_n
            AND (b.lower IS NULL OR f.value > b.lower OR b.lower_inclusive AND f.value = b.lower)
            AND (b.upper IS NULL OR f.value < b.upper OR b.upper_inclusive AND f.value = b.upper)
            AND f.value IS NOT NULL
)

SELECT
    f.team,
    f.title AS figure,
    round(
        10 * CASE f.metric
            WHEN 'deployment_frequency' THEN 7 * f.value
            WHEN 'change_failure_rate' THEN 100 * f.value
            ELSE f.value / 3600
        END
    ) / 10.0 AS value,
    CASE f.metric WHEN 'deployment_frequency' THEN 'per week' WHEN 'change_failure_rate' THEN '%' ELSE 'h' END
        AS unit,
    f.n,
    f.class,
    f.benchmark,
    CASE WHEN f.value IS NULL THEN f.reason WHEN f.class IS NULL THEN 'too few for a class' ELSE '' END AS note
FROM classified AS f
ORDER BY f.team, f.team_id, f.place
