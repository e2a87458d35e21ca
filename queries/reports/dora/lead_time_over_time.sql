-- How long did the changes take that reached production in each period?
-- Grain: one row per project, repository and period
-- Dashboard: DORA, Median lead time for changes per month
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- param: interval varchar = month   one of: day, week, month; in the project's time zone
-- Note: DevLake shows 0 for a month without changes, takes the lower of two middle values and leaves out the first
-- deployment's changes but not bots'; its figure is shown beside it, for months and all repositories. `partial`: not
-- over at the last run, or begun before collection did.
SELECT
    f.project_name AS project,
    CASE WHEN f.scope = 'repository' THEN f.scope_name ELSE '' END AS repository,
    f.label AS period,
    f.period_start AS begins,
    f.n AS changes,
    round(f.median / 360) / 10 AS "median h",
    round(f.p90 / 360) / 10 AS "p90 h",
    round(f.devlake_2023 / 6) / 10 AS "devlake h",
    NOT f.is_complete OR coalesce(f.reason, '') LIKE 'not collected%' AS partial,
    coalesce(f.reason, '') AS note
FROM metrics.dora AS f
WHERE f.metric = 'change_lead_time' AND f.period = $interval
    AND (
        $repo IS NULL AND f.scope = 'project'
        OR f.scope = 'repository' AND list_contains($repo, f.scope_name)
    )
    AND ($project IS NULL OR list_contains($project, f.project_name))
    AND ($from IS NULL OR f.period_start >= $from)
    AND ($to IS NULL OR f.period_end <= $to)
ORDER BY f.project_name, f.scope_name, f.scope_id, f.period_start
