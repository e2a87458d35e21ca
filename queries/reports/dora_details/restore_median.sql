-- How long does it take until an incident is resolved?
-- Dashboard: DORA Details - Time to Restore Service, 1 Median
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   resolved at or after this instant
-- param: to timestamp = null   resolved before this instant
-- Note: DevLake takes the lower of two middle values and counts a resolved incident without a time as unknown, before all others; here the
-- true median of those that have one.
WITH restored AS (
    SELECT i.project_name, i.recovery_seconds
    FROM dora.incidents AS i
    LEFT JOIN domain.incidents AS n ON i.incident_id = n.id
    WHERE i.recovery_seconds IS NOT NULL
        AND ($project IS NULL OR list_contains($project, i.project_name))
        AND (
            $repo IS NULL
            OR n.scope_id IN (SELECT b.id FROM domain.boards AS b WHERE list_contains($repo, b.name))
            OR i.deployment_id IN (
                SELECT d.deployment_id
                FROM dora.deployments AS d INNER JOIN domain.repos AS r ON d.repo_id = r.id
                WHERE list_contains($repo, r.name)
            )
        )
        AND ($from IS NULL OR i.resolution_date >= $from)
        AND ($to IS NULL OR i.resolution_date < $to)
)

SELECT
    r.project_name AS project,
    count(*) AS incidents,
    round(median(cast(r.recovery_seconds AS double)) / 360) / 10 AS "median h",
    round(percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(r.recovery_seconds AS double)) / 360) / 10 AS "p90 h",
    round(sum(r.recovery_seconds) / 360.0 / count(*)) / 10 AS "mean h"
FROM restored AS r
GROUP BY r.project_name
ORDER BY r.project_name
