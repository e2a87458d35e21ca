-- How many rows is each figure of the whole window based on, how many were left out, and why?
--
-- Grain:  one row per project, figure, kind of row and reason; project is '' for rows that no project has
-- Source: metrics.coverage, which has the rules
-- param: project varchar[] = null   only these projects, and the rows without one
SELECT
    c.project_name AS project,
    c.metric,
    c.kind AS rows,
    c.reason,
    c.n,
    round(1000 * c.share) / 10 AS "share %"
FROM metrics.coverage AS c
WHERE $project IS NULL OR c.project_name = '' OR list_contains($project, c.project_name)
ORDER BY
    c.project_name,
    CASE c.metric
        WHEN 'deployment_frequency' THEN 1
        WHEN 'change_lead_time' THEN 2
        WHEN 'change_failure_rate' THEN 3
        WHEN 'failed_deployment_recovery_time' THEN 4
        ELSE 5
    END,
    c.kind,
    CASE WHEN c.reason = 'counted' THEN 0 ELSE 1 END,
    c.n DESC,
    c.reason
