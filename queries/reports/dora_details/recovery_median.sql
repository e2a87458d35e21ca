-- How long does it take until a failed deployment has recovered?
-- Grain: one row per project
-- Dashboard: DORA Details - Failed Deployment Recovery Time, 1 Median
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- Note: from the end of the failed deployment (its start, where its outcome is FAILURE) until the incident was resolved
-- or a deployment fixed it, whichever came first; failures still open are counted beside. Without any, DevLake's panel
-- is empty; here the note says why.
WITH deployments AS (
    SELECT
        d.project_name,
        d.is_failed,
        d.recovery_seconds,
        d.incidents,
        d.devlake_has_incident,
        d.outcome
    FROM dora.deployments AS d
    WHERE (d.outcome = 'SUCCESS' OR d.is_failed)
        AND ($project IS NULL OR list_contains($project, d.project_name))
        AND ($repo IS NULL OR d.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR d.finished_date >= $from)
        AND ($to IS NULL OR d.finished_date < $to)
),

figures AS (
    SELECT
        d.project_name,
        count(*) AS failed,
        count(d.recovery_seconds) AS n,
        median(cast(d.recovery_seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(d.recovery_seconds AS double)) AS p90_seconds
    FROM deployments AS d
    WHERE d.is_failed
    GROUP BY d.project_name
)

SELECT
    f.project_name AS project,
    coalesce(x.failed, 0) AS failed,
    coalesce(x.n, 0) AS recovered,
    coalesce(x.failed, 0) - coalesce(x.n, 0) AS "still open",
    round(x.seconds / 360) / 10 AS "median h",
    round(x.p90_seconds / 360) / 10 AS "p90 h",
    CASE
        WHEN f.reason LIKE 'no incident source%' OR f.reason LIKE 'not collected%' THEN f.reason
        WHEN x.failed IS NULL THEN 'no failures'
        WHEN x.n = 0 THEN 'no recovered failures'
        ELSE coalesce(f.note, '')
    END AS note
FROM metrics.dora AS f
LEFT JOIN figures AS x ON f.project_name = x.project_name
WHERE f.metric = 'failed_deployment_recovery_time' AND f.period = 'all' AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name
