-- How long does it take from first review to merge?
-- Grain: one row per period
-- Dashboard: Engineering Throughput and Cycle Time, PR Review Time
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   merged at or after
-- param: to timestamp = null   merged before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: Pull requests without review and those of bots are left out; DevLake counts them as 0, and its window is that
-- of opening, not of the merge.
-- Note: A pull request of two projects counts once; DevLake joins its row of each project.
-- Note: Promotions (domain.pull_requests.promotion_evidence) are left out: they are no changes.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; none is dropped, as
-- DevLake drops the first.
WITH base AS (
    SELECT
        x.id,
        x.author_id,
        date_trunc($interval, min(x.pr_merged_date)) AS bucket,
        min(x.review_seconds + x.merge_seconds) AS seconds
    FROM dora.project_pr_metrics AS x
    WHERE x.pr_merged_date IS NOT NULL
        AND x.author_is_bot = FALSE
        AND coalesce(x.exclusion_reason, '') <> 'promotion'
        AND x.first_response_date IS NOT NULL
        AND x.review_seconds IS NOT NULL
        AND x.merge_seconds IS NOT NULL
        AND ($from IS NULL OR x.pr_merged_date >= $from)
        AND ($to IS NULL OR x.pr_merged_date < $to)
        AND ($project IS NULL OR list_contains($project, x.project_name))
        AND ($repo IS NULL OR x.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
    GROUP BY x.id, x.author_id
),

figures AS (
    SELECT
        bucket,
        count(*) AS "pull requests",
        round(sum(seconds) / 360.0 / nullif(count(*), 0)) / 10.0 AS "mean h",
        round(median(cast(seconds AS double)) / 360.0) / 10.0 AS "median h"
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
    f."pull requests",
    f."mean h",
    f."median h",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket
