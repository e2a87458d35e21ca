-- How many pipeline steps run at once at most, and how many build minutes are used?
--
-- Grain:  one row per workspace and period in which a step started
-- Source: domain.cicd_tasks, domain.cicd_scopes
--
-- Rules:
-- * A step takes one slot from its start to its end. Peak slots is the most that ran at one instant; a step that ends at
--   an instant makes room for one that starts then. Compare it with the concurrent steps of the workspace's plan.
-- * Mean slots is the mean over the time in which at least one step ran.
-- * Build minutes are those that Bitbucket bills, by the start of the step; steps on own runners have none.
-- * A step without a start or end counts under "without times" only, in the period of its pipeline. Steps are collected
--   as the rule set's key steps says: with fewer, all figures are lower bounds.
-- * Periods are those of UTC, because slots belong to a workspace and not to a project.
-- param: project varchar[] = null   only steps of these projects
-- param: repo varchar[] = null   only steps of these repositories (workspace/slug)
-- param: from timestamp = null   started at or after
-- param: to timestamp = null   started before
-- param: interval varchar = month   one of: hour, day, week, month, quarter, year
WITH steps AS (
    SELECT
        t.id,
        split_part(s.name, '/', 1) AS workspace,
        date_trunc($interval, coalesce(t.started_date, t.pipeline_created_date)) AS bucket,
        t.started_date,
        t.finished_date,
        t.build_seconds_used,
        coalesce(t.finished_date >= t.started_date, FALSE) AS is_timed,
        coalesce(t.finished_date > t.started_date, FALSE) AS takes_slot
    FROM domain.cicd_tasks AS t
    INNER JOIN domain.cicd_scopes AS s ON s.id = t.cicd_scope_id
    WHERE ($from IS NULL OR coalesce(t.started_date, t.pipeline_created_date) >= $from)
        AND ($to IS NULL OR coalesce(t.started_date, t.pipeline_created_date) < $to)
        AND ($repo IS NULL OR list_contains($repo, s.name))
        AND ($project IS NULL OR t.cicd_scope_id IN (
            SELECT m.row_id
            FROM domain.project_mapping AS m
            WHERE m."table" = 'cicd_scopes' AND list_contains($project, m.project_name)
        ))
),

events AS (
    SELECT
        id,
        workspace,
        started_date AS happened,
        1 AS change
    FROM steps
    WHERE takes_slot
    UNION ALL
    SELECT
        id,
        workspace,
        finished_date,
        -1
    FROM steps
    WHERE takes_slot
),

levels AS (
    SELECT
        workspace,
        happened,
        change,
        sum(change) OVER (
            PARTITION BY workspace
            ORDER BY happened NULLS FIRST, change NULLS FIRST, id NULLS FIRST
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS running,
        lead(happened) OVER (
            PARTITION BY workspace ORDER BY happened NULLS FIRST, change NULLS FIRST, id NULLS FIRST
        ) AS until
    FROM events
),

-- before an end, the step that ends still ran
peaks AS (
    SELECT
        workspace,
        date_trunc($interval, happened) AS bucket,
        max(CASE WHEN change > 0 THEN running ELSE running + 1 END) AS peak,
        sum(CASE WHEN running > 0 THEN extract(EPOCH FROM until) - extract(EPOCH FROM happened) END) AS busy_seconds,
        sum(running * (extract(EPOCH FROM until) - extract(EPOCH FROM happened))) AS slot_seconds
    FROM levels
    GROUP BY workspace, date_trunc($interval, happened)
),

moments AS (
    SELECT
        l.workspace,
        p.bucket,
        min(l.happened) AS reached
    FROM levels AS l
    INNER JOIN peaks AS p ON p.workspace = l.workspace AND p.bucket = date_trunc($interval, l.happened)
    WHERE CASE WHEN l.change > 0 THEN l.running ELSE l.running + 1 END = p.peak
    GROUP BY l.workspace, p.bucket
),

sums AS (
    SELECT
        workspace,
        bucket,
        count(*) AS steps,
        count(*) FILTER (WHERE NOT is_timed) AS untimed,
        sum(CASE
            WHEN is_timed THEN extract(EPOCH FROM finished_date) - extract(EPOCH FROM started_date)
        END) AS step_seconds,
        sum(build_seconds_used) AS build_seconds
    FROM steps
    GROUP BY workspace, bucket
)

SELECT
    s.workspace,
    cast(s.bucket AS timestamp) AS period,
    s.steps,
    p.peak AS "peak slots",
    m.reached AS "peak at",
    round(10 * p.slot_seconds / nullif(p.busy_seconds, 0)) / 10 AS "mean slots",
    round(s.step_seconds / 360) / 10 AS "step hours",
    round(s.build_seconds / 6) / 10 AS "build minutes",
    s.untimed AS "without times"
FROM sums AS s
LEFT JOIN peaks AS p ON p.workspace = s.workspace AND p.bucket = s.bucket
LEFT JOIN moments AS m ON m.workspace = s.workspace AND m.bucket = s.bucket
ORDER BY s.workspace, s.bucket
