-- How does each project deliver, in all and month by month: how often, how fast, how safely?
--
-- Grain:  one row per project and period: the whole window first, then each month from the project's first event on
-- Source: metrics.dora
--
-- Rules:
-- * Deployments are successes in production; per week counts the days so far of a month that is not over. Lead time and
--   recovery are medians; a rate is over the deployments that reached production. note says why a figure is empty,
--   or that a failure rate has no source of incidents for all of its period (in full: metrics.dora.note); an empty
--   recovery with a failure rate of 0 needs no word.
-- * DevLake's overview shows the window's four figures as class texts; see dora/classes for those.
-- param: project varchar[] = null   only these projects
SELECT
    project_name AS project,
    label AS period,
    max(CASE WHEN metric = 'deployment_frequency' THEN n END) AS deployments,
    round(70 * max(CASE WHEN metric = 'deployment_frequency' THEN coalesce(mean, value) END)) / 10 AS "per week",
    round(max(CASE WHEN metric = 'change_lead_time' THEN value END) / 360) / 10 AS "lead time h",
    round(1000 * max(CASE WHEN metric = 'change_failure_rate' THEN value END)) / 10 AS "failure rate %",
    round(max(CASE WHEN metric = 'failed_deployment_recovery_time' THEN value END) / 360) / 10 AS "recovery h",
    round(1000 * max(CASE WHEN metric = 'deployment_rework_rate' THEN value END)) / 10 AS "rework %",
    coalesce(
        max(CASE WHEN metric = 'deployment_frequency' THEN reason END),
        max(CASE WHEN metric = 'change_failure_rate' THEN reason END),
        max(CASE WHEN metric = 'change_failure_rate' AND note <> '' THEN split_part(note, ':', 1) END)
        || CASE WHEN is_complete OR period = 'all' THEN '' ELSE '; not over yet' END,
        max(CASE WHEN metric = 'change_lead_time' THEN reason END),
        max(CASE WHEN metric = 'failed_deployment_recovery_time' AND reason <> 'no failures' THEN reason END),
        CASE WHEN is_complete OR period = 'all' THEN '' ELSE 'not over yet' END
    ) AS note
FROM metrics.dora
WHERE scope = 'project'
    AND period IN ('month', 'all')
    AND ($project IS NULL OR list_contains($project, project_name))
GROUP BY project_name, period, period_start, label, is_complete
ORDER BY project_name, CASE WHEN period = 'all' THEN 0 ELSE 1 END, period_start
