-- How many of the deployments failed, and how many incidents does a deployment cause?
-- Grain: one row per project
-- Dashboard: DORA Details - Change Failure Rate, 1 Change failure rate
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- Note: DevLake divides incidents by deployments, which can pass 100 % and contradicts its main dashboard; here each
-- failed deployment counts once, and the incidents per 100 deployments stand beside. failed is a deployment with a
-- linked incident, a rollback, or a change that was soon reverted or hot-fixed, each once; DevLake blames the last
-- deployment before each incident, whatever it was of and however long before. Without any source of incidents the rate
-- is unknown, where DevLake shows 0 %, elite.
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
        count(*) AS n,
        count(*) FILTER (WHERE d.is_failed) AS failed,
        sum(d.incidents) AS incidents
    FROM deployments AS d
    GROUP BY d.project_name
)

SELECT
    f.project_name AS project,
    coalesce(x.n, 0) AS deployments,
    CASE WHEN f.numerator IS NOT NULL THEN coalesce(x.failed, 0) END AS failed,
    CASE WHEN f.numerator IS NOT NULL THEN round(1000.0 * x.failed / nullif(x.n, 0)) / 10 END AS "failure rate %",
    CASE WHEN f.numerator IS NOT NULL THEN coalesce(x.incidents, 0) END AS incidents,
    CASE WHEN f.numerator IS NOT NULL THEN round(1000.0 * x.incidents / nullif(x.n, 0)) / 10 END AS "incidents per 100",
    CASE WHEN f.reason IS NOT NULL THEN f.reason WHEN x.n IS NULL THEN 'no deployments' ELSE coalesce(f.note, '') END
        AS note
FROM metrics.dora AS f
LEFT JOIN figures AS x ON f.project_name = x.project_name
WHERE f.metric = 'change_failure_rate' AND f.period = 'all' AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name
