-- How many deployments reached production in each period, and on how many of its days?
-- Grain: one row per project, repository and period
-- Dashboard: DORA, Number of deployments per month
-- Dashboard: DORA Details - Deployment Frequency, 2 Daily deployments, 3 Weekly deployments, 4 Deployments per month
-- alias: dora_details/deployment_frequency_daily interval=day
-- alias: dora_details/deployment_frequency_weekly interval=week
-- alias: dora_details/deployment_frequency_monthly interval=month
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- param: interval varchar = month   one of: day, week, month; in the project's time zone
-- Note: DevLake's panels call days deployments, cut days in UTC and go back 400 days, or two years before its
-- installation. The column devlake has its own count, for months and all repositories.
-- Note: `partial` marks a period that was not over at the last run, or that began before collection did.
SELECT
    f.project_name AS project,
    CASE WHEN f.scope = 'repository' THEN f.scope_name ELSE '' END AS repository,
    f.label AS period,
    f.period_start AS begins,
    f.n AS deployments,
    f.numerator AS "days with one",
    f.devlake_2023 AS devlake,
    NOT f.is_complete OR coalesce(f.reason, '') LIKE 'not collected%' AS partial,
    coalesce(f.reason, '') AS note
FROM metrics.dora AS f
WHERE f.metric = 'deployment_frequency' AND f.period = $interval
    AND (
        $repo IS NULL AND f.scope = 'project'
        OR f.scope = 'repository' AND list_contains($repo, f.scope_name)
    )
    AND ($project IS NULL OR list_contains($project, f.project_name))
    AND ($from IS NULL OR f.period_start >= $from)
    AND ($to IS NULL OR f.period_end <= $to)
ORDER BY f.project_name, f.scope_name, f.scope_id, f.period_start
