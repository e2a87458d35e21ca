-- How did each of the five figures develop?
--
-- Grain:  one row per project, figure and period, from the project's first event on
-- Source: metrics.dora
--
-- Rules:
-- * Deployments are per week, times in hours, rates in percent, rounded as in dora/overview. value of a time is the
--   median; p75 and p90 stand beside it.
-- * partial marks a period that was not over at the last run, or that was not collected as a whole.
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- param: interval varchar = month   one of: week, month; in the project's time zone
-- param: n bigint = 26   how many periods, the latest
WITH periods AS (
    SELECT
        project_name,
        metric,
        label,
        period_start,
        coalesce(CASE WHEN metric = 'deployment_frequency' THEN mean END, value) AS value,
        p75,
        p90,
        n,
        NOT is_complete OR coalesce(reason, '') LIKE 'not collected%' AS is_partial,
        reason,
        note,
        row_number() OVER (PARTITION BY project_name, metric ORDER BY period_start DESC) AS place
    FROM metrics.dora
    WHERE scope = 'project' AND period = $interval
        AND ($project IS NULL OR list_contains($project, project_name))
        AND ($from IS NULL OR period_start >= $from)
        AND ($to IS NULL OR period_end <= $to)
)

SELECT
    p.project_name AS project,
    p.metric,
    p.label AS period,
    p.period_start AS begins,
    round(u.factor * p.value / u.divisor) / 10 AS value,
    CASE WHEN u.unit = 'h' THEN round(u.factor * p.p75 / u.divisor) / 10 END AS p75,
    CASE WHEN u.unit = 'h' THEN round(u.factor * p.p90 / u.divisor) / 10 END AS p90,
    u.unit,
    p.n,
    p.is_partial AS partial,
    coalesce(p.reason, p.note, '') AS note
FROM periods AS p
INNER JOIN (
    VALUES
    ('deployment_frequency', 1, 'per week', 70.0, 1.0),
    ('change_lead_time', 2, 'h', 1.0, 360.0),
    ('change_failure_rate', 3, '%', 1000.0, 1.0),
    ('failed_deployment_recovery_time', 4, 'h', 1.0, 360.0),
    ('deployment_rework_rate', 5, '%', 1000.0, 1.0)
) AS u (metric, place, unit, factor, divisor) ON u.metric = p.metric
WHERE p.place <= $n
ORDER BY p.project_name, u.place, p.period_start
