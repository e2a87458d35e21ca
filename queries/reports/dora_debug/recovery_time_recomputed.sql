-- Does the published recovery time follow from failures and incidents?
-- Grain: one row per project and period
-- Dashboard: DORA Debug, Failed Deployment Recovery Time / Median Time to Restore Service, steps 1 to 5
-- param: project varchar[] = null   only these projects
-- param: interval varchar = month   one of: day, week, month, all
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: DevLake's check for 2021 filters and groups by the incident's beginning; here it is by resolution, as the
-- figure is. `DevLake's h` is the lower of two middle values, of the project's own links; `recomputed` the median of
-- dora.deployments.recovery_seconds, which is published. Periods are those of the project's time zone
-- (config.buckets), so that each row can be laid beside its row of metrics.dora. DevLake's stored figures are for
-- months and all.
WITH production AS (
    SELECT
        m.project_name,
        d.cicd_deployment_id,
        max(d.finished_date) AS finished_date
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.result = 'SUCCESS'
        AND d.environment = 'PRODUCTION'
        AND d.finished_date IS NOT NULL
        AND ($project IS NULL OR list_contains($project, m.project_name))
    GROUP BY m.project_name, d.cicd_deployment_id
),

times AS (
    SELECT
        p.project_name,
        i.id,
        p.finished_date AS happened,
        cast(
            floor((extract(EPOCH FROM i.resolution_date) - extract(EPOCH FROM p.finished_date)) / 60.0) AS bigint
        ) AS minutes
    FROM production AS p
    INNER JOIN dora.project_incident_deployment_relationships AS r
        ON r.project_name = p.project_name AND r.deployment_id = p.cicd_deployment_id
    INNER JOIN domain.incidents AS i ON i.id = r.id
    WHERE $report <> 2021 AND i.resolution_date >= i.created_date AND i.resolution_date >= p.finished_date
    UNION ALL
    SELECT DISTINCT
        m.project_name,
        i.id,
        i.resolution_date AS happened,
        i.lead_time_minutes AS minutes
    FROM domain.incidents AS i
    INNER JOIN domain.project_mapping AS m ON m."table" = i."table" AND m.row_id = i.scope_id
    WHERE $report = 2021 AND i.resolution_date IS NOT NULL
),

ranked AS (
    SELECT
        b.project_name,
        b.period_start,
        t.minutes,
        row_number() OVER (
            PARTITION BY b.project_name, b.period_start ORDER BY t.minutes NULLS FIRST, t.id
        ) AS place,
        count(*) OVER (PARTITION BY b.project_name, b.period_start) AS n
    FROM times AS t
    INNER JOIN config.buckets AS b
        ON b.project_name = t.project_name AND b.period = $interval
            AND t.happened >= b.period_start AND t.happened < b.period_end
),

devlake AS (
    SELECT
        project_name,
        period_start,
        n,
        minutes
    FROM ranked WHERE place = cast(floor((n + 1) / 2.0) AS bigint)
),

failures AS (
    SELECT
        b.project_name,
        b.period_start,
        count(*) AS failed,
        median(cast(d.recovery_seconds AS double)) AS seconds
    FROM dora.deployments AS d
    INNER JOIN config.buckets AS b
        ON b.project_name = d.project_name AND b.period = $interval
            AND d.finished_date >= b.period_start AND d.finished_date < b.period_end
    WHERE d.is_failed
    GROUP BY b.project_name, b.period_start
)

SELECT
    b.project_name AS project,
    b.label AS period,
    coalesce(v.n, 0) AS "DevLake's incidents",
    round(10 * v.minutes / 60.0) / 10.0 AS "DevLake's h",
    round(10 * CASE WHEN $report = 2021 THEN f.devlake_2021 ELSE f.devlake_2023 END / 60.0)
    / 10.0 AS "DevLake's stored h",
    coalesce(x.failed, 0) AS failed,
    round(x.seconds / 360.0) / 10.0 AS "recomputed h",
    round(f.value / 360.0) / 10.0 AS "published h",
    NOT b.is_complete AS partial,
    coalesce(f.reason, f.note, '') AS note
FROM config.buckets AS b
LEFT JOIN devlake AS v ON v.project_name = b.project_name AND v.period_start = b.period_start
LEFT JOIN failures AS x ON x.project_name = b.project_name AND x.period_start = b.period_start
LEFT JOIN metrics.dora AS f
    ON f.project_name = b.project_name AND f.scope = 'project' AND f.metric = 'failed_deployment_recovery_time'
        AND f.period = b.period AND f.period_start = b.period_start
WHERE b.period = $interval AND ($project IS NULL OR list_contains($project, b.project_name))
ORDER BY b.project_name, b.period_start
