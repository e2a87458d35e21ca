-- How long did it take in each period until failures were over?
-- Grain: one row per project and period
-- Dashboard: DORA, Failed deployment recovery time (2023) or Time to restore service (2021) per month
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- param: interval varchar = month   one of: day, week, month; in the project's time zone
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: report 2023: failed deployments, in the period in which they finished, until they recovered; 2021: incidents,
-- in the period in which they were resolved. DevLake shows 0 for a month without any and takes the lower of two middle
-- values; its figure is shown beside it, for months. `partial`: not over at the last run, or begun before collection
-- did.
WITH restored AS (
    SELECT
        i.project_name,
        b.period_start,
        count(*) AS n,
        median(cast(i.recovery_seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(i.recovery_seconds AS double)) AS p90_seconds
    FROM dora.incidents AS i
    INNER JOIN config.buckets AS b
        ON i.project_name = b.project_name AND i.resolution_date >= b.period_start AND i.resolution_date < b.period_end
    WHERE b.period = $interval AND i.recovery_seconds IS NOT NULL
    GROUP BY i.project_name, b.period_start
)

SELECT
    f.project_name AS project,
    f.label AS period,
    f.period_start AS begins,
    CASE WHEN $report = 2021 THEN coalesce(r.n, 0) ELSE f.n END AS failures,
    round(CASE WHEN $report = 2021 THEN r.seconds ELSE f.median END / 360) / 10 AS "median h",
    round(CASE WHEN $report = 2021 THEN r.p90_seconds ELSE f.p90 END / 360) / 10 AS "p90 h",
    round(CASE WHEN $report = 2021 THEN f.devlake_2021 ELSE f.devlake_2023 END / 6) / 10 AS "devlake h",
    NOT f.is_complete OR coalesce(f.reason, '') LIKE 'not collected%' AS partial,
    CASE
        WHEN
            $report = 2023 OR f.reason LIKE 'no incident source%' OR f.reason LIKE 'not collected%'
            THEN coalesce(f.reason, f.note, '')
        WHEN r.n IS NULL THEN 'no incidents'
        ELSE ''
    END AS note
FROM metrics.dora AS f
LEFT JOIN restored AS r ON f.project_name = r.project_name AND f.period_start = r.period_start
WHERE f.metric = 'failed_deployment_recovery_time' AND f.period = $interval AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
    AND ($from IS NULL OR f.period_start >= $from)
    AND ($to IS NULL OR f.period_end <= $to)
ORDER BY f.project_name, f.period_start
