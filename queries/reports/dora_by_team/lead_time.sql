-- How long do the changes of each team take to production?
-- Grain: one row per team
-- Dashboard: DORA by Team, Median Lead Time for Changes
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   in production at or after
-- param: to timestamp = null   in production before
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: A change is a team's when a present member wrote its pull request. A person in two teams counts for both. A
-- pull request of two projects counts once.
-- Note: From first commit to production, over the changes that nothing excludes
-- (dora.project_pr_metrics.exclusion_reason); DevLake's lead time takes missing parts as 0. Classes are DORA's
-- (metrics.dora_classes).
WITH chosen AS (
    SELECT
        t.id AS team_id,
        t.name AS team
    FROM domain.teams AS t WHERE $team IS NULL OR list_contains($team, t.name)
),

changes AS (
    SELECT
        t.team_id,
        x.id,
        min(x.deployed_date) AS deployed_date,
        min(x.lead_time_seconds) AS seconds
    FROM dora.team_changes AS t
    INNER JOIN dora.project_pr_metrics AS x ON x.project_name = t.project_name AND x.id = t.pull_request_id
    WHERE x.exclusion_reason IS NULL
        AND x.lead_time_seconds IS NOT NULL
        AND ($project IS NULL OR list_contains($project, x.project_name))
        AND ($from IS NULL OR x.deployed_date >= $from)
        AND ($to IS NULL OR x.deployed_date < $to)
    GROUP BY t.team_id, x.id
),

figures AS (
    SELECT
        c.team_id,
        c.team,
        count(x.id) AS changes,
        median(cast(x.seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(x.seconds AS double)) AS p90_seconds
    FROM chosen AS c
    LEFT JOIN changes AS x ON x.team_id = c.team_id
    GROUP BY c.team_id, c.team
)

SELECT
    f.team,
    f.changes,
    round(f.seconds / 360.0) / 10.0 AS "median h",
    round(f.p90_seconds / 360.0) / 10.0 AS "p90 h",
    b.class,
    b.text AS benchmark,
    CASE WHEN f.changes = 0 THEN 'no changes' WHEN b.class IS NULL THEN 'too few for a class' ELSE '' END AS note
FROM figures AS f
LEFT JOIN metrics.dora_classes AS b
    ON b.year = $report AND b.metric = 'change_lead_time' AND f.changes >= b.minimum_n
        AND (b.lower IS NULL OR f.seconds > b.lower OR b.lower_inclusive AND f.seconds = b.lower)
        AND (b.upper IS NULL OR f.seconds < b.upper OR b.upper_inclusive AND f.seconds = b.upper)
        AND f.seconds IS NOT NULL
ORDER BY f.team, f.team_id
