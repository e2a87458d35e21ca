-- How many pull requests are opened, and how many merged?
-- Grain: one row per period
-- Dashboard: Engineering Throughput and Cycle Time, PRs Opened and Merged
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   opened or merged at or after
-- param: to timestamp = null   opened or merged before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A merge counts in the period of the merge. DevLake counts it in the period in which the pull request was
-- opened.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH base AS (
    SELECT
        p.id,
        p.author_id,
        'opened' AS event,
        date_trunc($interval, p.created_date) AS bucket
    FROM domain.pull_requests AS p
    WHERE p.created_date IS NOT NULL
        AND ($from IS NULL OR p.created_date >= $from)
        AND ($to IS NULL OR p.created_date < $to)
        AND ($project IS NULL OR p.base_repo_id IN (
            SELECT m.row_id
            FROM domain.project_mapping AS m
            WHERE m."table" = 'repos' AND list_contains($project, m.project_name)
        ))
        AND ($repo IS NULL OR p.base_repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
    UNION ALL
    SELECT
        p.id,
        p.author_id,
        'merged' AS event,
        date_trunc($interval, p.merged_date) AS bucket
    FROM domain.pull_requests AS p
    WHERE p.merged_date IS NOT NULL
        AND ($from IS NULL OR p.merged_date >= $from)
        AND ($to IS NULL OR p.merged_date < $to)
        AND ($project IS NULL OR p.base_repo_id IN (
            SELECT m.row_id
            FROM domain.project_mapping AS m
            WHERE m."table" = 'repos' AND list_contains($project, m.project_name)
        ))
        AND ($repo IS NULL OR p.base_repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
),

figures AS (
    SELECT
        bucket,
        count(*) FILTER (WHERE event = 'opened') AS opened,
        count(*) FILTER (WHERE event = 'merged') AS merged
    FROM base
    GROUP BY bucket
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS since,
        least(max(collected_until), $to) AS until
    FROM metrics.collected_windows
    WHERE $project IS NULL OR list_contains($project, project_name)
)

SELECT
    cast(f.bucket AS date) AS period,
    f.opened,
    f.merged,
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket
