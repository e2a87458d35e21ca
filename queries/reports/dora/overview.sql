-- How does each project deliver, month by month and in all?
SELECT
    project_name AS project,
    period,
    deployments,
    deployment_days AS "days with one",
    changes,
    round(median_lead_time_minutes / 60.0, 1) AS "lead time h",
    round(100 * change_failure_rate, 1) AS "failure rate %",
    incidents,
    round(median_recovery_minutes / 60.0, 1) AS "recovery h",
    coalesce(reason, '') AS note
FROM metrics.dora
ORDER BY project_name, CASE WHEN period = 'all' THEN 0 ELSE 1 END, period
