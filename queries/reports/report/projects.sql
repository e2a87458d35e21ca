-- Which projects does the page of `bitlake report` show, and over which time?
--
-- Grain:  one row per project
-- Source: config.buckets for the days and months; config.projects, config.project_repositories
--
-- Rules:
-- * first day and last day are local dates; a last day that was not over at the last run is among the days.
-- * last month is the latest month that was over at the last run, with its first instant and the first after it.
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   only days that begin at or after this instant
-- param: to timestamp = null   only days that end by this instant
WITH shown AS (
    SELECT
        project_name,
        period,
        period_start,
        period_end,
        label,
        is_complete
    FROM config.buckets
    WHERE period IN ('day', 'month')
        AND ($project IS NULL OR list_contains($project, project_name))
        AND ($from IS NULL OR period_start >= $from)
        AND ($to IS NULL OR period_end <= $to)
),

last_months AS (
    SELECT
        project_name,
        label,
        period_start,
        period_end,
        row_number() OVER (PARTITION BY project_name ORDER BY period_start DESC) AS place
    FROM shown
    WHERE period = 'month' AND is_complete
),

repositories AS (
    SELECT
        project_name,
        count(DISTINCT full_name) AS repositories
    FROM config.project_repositories
    GROUP BY project_name
)

SELECT
    s.project_name AS project,
    min(CASE WHEN s.period = 'day' THEN s.label END) AS "first day",
    max(CASE WHEN s.period = 'day' THEN s.label END) AS "last day",
    min(CASE WHEN s.period = 'day' THEN s.period_start END) AS begins,
    max(CASE WHEN s.period = 'day' THEN s.period_end END) AS ends,
    max(m.label) AS "last month",
    max(m.period_start) AS "last month begins",
    max(m.period_end) AS "last month ends",
    coalesce(min(p.timezone), 'UTC') AS "time zone",
    coalesce(max(r.repositories), 0) AS repositories
FROM shown AS s
LEFT JOIN last_months AS m ON m.project_name = s.project_name AND m.place = 1
LEFT JOIN config.projects AS p ON p.name = s.project_name
LEFT JOIN repositories AS r ON r.project_name = s.project_name
GROUP BY s.project_name
ORDER BY s.project_name
