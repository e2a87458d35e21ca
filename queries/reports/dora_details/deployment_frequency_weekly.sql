-- On how many days of each week was something deployed?
-- Grain: one row per project, repository and period
-- Dashboard: DORA Details - Deployment Frequency, 3 Weekly deployments
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- Note: DevLake's title says deployments but its bars are days; here both. `partial`: not over at the last run, or begun before collection
-- did.
SELECT
    f.project_name AS project,
    CASE WHEN f.scope = 'repository' THEN f.scope_name ELSE '' END AS repository,
    f.label AS period,
    f.period_start AS begins,
    f.n AS deployments,
    f.numerator AS "days with one",
    NOT f.is_complete OR coalesce(f.reason, '') LIKE 'not collected%' AS partial,
    coalesce(f.reason, '') AS note
FROM metrics.dora AS f
WHERE f.metric = 'deployment_frequency' AND f.period = 'week'
    AND (
        $repo IS NULL AND f.scope = 'project'
        OR f.scope = 'repository' AND list_contains($repo, f.scope_name)
    )
    AND ($project IS NULL OR list_contains($project, f.project_name))
    AND ($from IS NULL OR f.period_start >= $from)
    AND ($to IS NULL OR f.period_end <= $to)
ORDER BY f.project_name, f.scope_name, f.scope_id, f.period_start
