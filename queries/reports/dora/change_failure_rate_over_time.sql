-- How many of the deployments of each period failed?
-- Grain: one row per project, repository and period
-- Dashboard: DORA, Change failure rate per month
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- param: interval varchar = month   one of: day, week, month; in the project's time zone
-- Note: DevLake blames only the last deployment before an incident, whatever repository it was of; here linked
-- incidents, rollbacks and reverted changes are evidence, and without any source of incidents the rate is unknown.
-- DevLake's rate is shown beside it, for months and all repositories. `partial`: not over at the last run, or begun
-- before collection did.
SELECT
    f.project_name AS project,
    CASE WHEN f.scope = 'repository' THEN f.scope_name ELSE '' END AS repository,
    f.label AS period,
    f.period_start AS begins,
    f.n AS deployments,
    f.numerator AS failed,
    round(1000 * f.value) / 10 AS "failure rate %",
    round(1000 * f.devlake_2023) / 10 AS "devlake %",
    NOT f.is_complete OR coalesce(f.reason, '') LIKE 'not collected%' AS partial,
    coalesce(f.reason, f.note, '') AS note
FROM metrics.dora AS f
WHERE f.metric = 'change_failure_rate' AND f.period = $interval
    AND (
        $repo IS NULL AND f.scope = 'project'
        OR f.scope = 'repository' AND list_contains($repo, f.scope_name)
    )
    AND ($project IS NULL OR list_contains($project, f.project_name))
    AND ($from IS NULL OR f.period_start >= $from)
    AND ($to IS NULL OR f.period_end <= $to)
ORDER BY f.project_name, f.scope_name, f.scope_id, f.period_start
