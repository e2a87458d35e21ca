-- Of which parts does the lead time consist, period by period?
--
-- Grain:  one row per project and period
-- Source: dora.project_pr_metrics; metrics.dora for the periods
--
-- Rules:
-- * The changes are those of the lead time, in the period in which they reached production. The parts are means, which
--   add up to the mean lead time; medians do not add up.
-- * coding is from the first commit to the opening of the pull request, pickup to the first response by another person,
--   review from there to the merge, deploy to production.
-- * partial marks a period that was not over at the last run, or that was not collected as a whole.
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- param: interval varchar = month   one of: week, month; in the project's time zone
-- param: n bigint = 26   how many periods, the latest
WITH periods AS (
    SELECT
        project_name,
        label,
        period_start,
        period_end,
        NOT is_complete OR coalesce(reason, '') LIKE 'not collected%' AS is_partial,
        coalesce(reason, '') AS note,
        row_number() OVER (PARTITION BY project_name ORDER BY period_start DESC) AS place
    FROM metrics.dora
    WHERE scope = 'project' AND period = $interval AND metric = 'change_lead_time'
        AND ($project IS NULL OR list_contains($project, project_name))
        AND ($from IS NULL OR period_start >= $from)
        AND ($to IS NULL OR period_end <= $to)
),

parts AS (
    SELECT
        p.project_name,
        p.period_start,
        count(*) AS n,
        cast(sum(m.coding_seconds) AS double) / count(*) AS coding,
        cast(sum(m.pickup_seconds) AS double) / count(*) AS pickup,
        cast(sum(m.review_seconds + m.merge_seconds) AS double) / count(*) AS review,
        cast(sum(m.deploy_seconds) AS double) / count(*) AS deploy,
        cast(sum(m.lead_time_seconds) AS double) / count(*) AS whole
    FROM periods AS p
    INNER JOIN dora.project_pr_metrics AS m
        ON m.project_name = p.project_name AND m.deployed_date >= p.period_start AND m.deployed_date < p.period_end
    WHERE p.place <= $n AND m.exclusion_reason IS NULL AND m.lead_time_seconds IS NOT NULL
    GROUP BY p.project_name, p.period_start
)

SELECT
    p.project_name AS project,
    p.label AS period,
    p.period_start AS begins,
    coalesce(s.n, 0) AS n,
    round(s.coding / 360) / 10 AS "coding h",
    round(s.pickup / 360) / 10 AS "pickup h",
    round(s.review / 360) / 10 AS "review h",
    round(s.deploy / 360) / 10 AS "deploy h",
    round(s.whole / 360) / 10 AS "mean h",
    p.is_partial AS partial,
    p.note
FROM periods AS p
LEFT JOIN parts AS s ON s.project_name = p.project_name AND s.period_start = p.period_start
WHERE p.place <= $n
ORDER BY p.project_name, p.period_start
