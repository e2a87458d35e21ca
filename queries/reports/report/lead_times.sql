-- How are the lead times distributed?
--
-- Grain:  one row per project and span of time, also where no change has such a lead time
-- Source: dora.project_pr_metrics; config.buckets for the days
--
-- Rules:
-- * The changes are those of the lead time: deployed in the window, with no reason to leave them out.
-- * A lead time that equals a bound is in the longer span.
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   only days that begin at or after this instant
-- param: to timestamp = null   only days that end by this instant
WITH days AS (
    SELECT
        project_name,
        min(period_start) AS begins,
        max(period_end) AS ends
    FROM config.buckets
    WHERE period = 'day'
        AND ($project IS NULL OR list_contains($project, project_name))
        AND ($from IS NULL OR period_start >= $from)
        AND ($to IS NULL OR period_end <= $to)
    GROUP BY project_name
),

changes AS (
    SELECT
        m.project_name,
        m.lead_time_seconds
    FROM dora.project_pr_metrics AS m
    INNER JOIN days AS d
        ON d.project_name = m.project_name AND m.deployed_date >= d.begins AND m.deployed_date < d.ends
    WHERE m.exclusion_reason IS NULL AND m.lead_time_seconds IS NOT NULL
),

spans AS (
    SELECT
        d.project_name,
        s.place,
        s.label,
        s.lower,
        s.upper
    FROM days AS d
    CROSS JOIN (
        VALUES
        (1, 'under 1 hour', 0, 3600),
        (2, '1 to 4 hours', 3600, 14400),
        (3, '4 to 12 hours', 14400, 43200),
        (4, '12 to 24 hours', 43200, 86400),
        (5, '1 to 2 days', 86400, 172800),
        (6, '2 to 4 days', 172800, 345600),
        (7, '4 to 7 days', 345600, 604800),
        (8, '1 to 2 weeks', 604800, 1209600),
        (9, '2 to 4 weeks', 1209600, 2419200),
        (10, '4 weeks and more', 2419200, NULL)
    ) AS s (place, label, lower, upper)
),

counted AS (
    SELECT
        s.project_name,
        s.place,
        count(*) AS n
    FROM spans AS s
    INNER JOIN changes AS c
        ON c.project_name = s.project_name
            AND c.lead_time_seconds >= s.lower AND (s.upper IS NULL OR c.lead_time_seconds < s.upper)
    GROUP BY s.project_name, s.place
),

totals AS (
    SELECT
        project_name,
        count(*) AS n
    FROM changes
    GROUP BY project_name
)

SELECT
    s.project_name AS project,
    s.label AS "lead time",
    coalesce(c.n, 0) AS changes,
    round(1000.0 * coalesce(c.n, 0) / nullif(t.n, 0)) / 10 AS "share %"
FROM spans AS s
LEFT JOIN counted AS c ON c.project_name = s.project_name AND c.place = s.place
LEFT JOIN totals AS t ON t.project_name = s.project_name
ORDER BY s.project_name, s.place
