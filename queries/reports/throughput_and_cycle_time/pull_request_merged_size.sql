-- How many lines does a merged pull request change?
-- Grain: one row per period
-- Dashboard: Engineering Throughput and Cycle Time, PR Merged Size
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   merged at or after
-- param: to timestamp = null   merged before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: The size is the pull request's own, else the sum over its commits; pull requests of unknown size are left out
-- of the mean. Bitbucket provides no sizes, so they are known only where a [[table]] provides them. DevLake takes the
-- merge commit's lines, mostly 0, and counts unknown as 0.
-- Note: Promotions (domain.pull_requests.promotion_evidence) are left out: they are no changes.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH lines AS (
    SELECT
        l.pull_request_id,
        sum(c.additions + c.deletions) AS changed
    FROM domain.pull_request_commits AS l
    INNER JOIN domain.commits AS c ON c.sha = l.commit_sha
    WHERE c.parent_count < 2
    GROUP BY l.pull_request_id
),

base AS (
    SELECT
        p.id,
        p.author_id,
        date_trunc($interval, p.merged_date) AS bucket,
        coalesce(nullif(p.additions + p.deletions, 0), nullif(l.changed, 0)) AS changed
    FROM domain.pull_requests AS p
    LEFT JOIN lines AS l ON l.pull_request_id = p.id
    WHERE p.merged_date IS NOT NULL
        AND p.promotion_evidence IS NULL
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
        count(*) AS merged,
        count(changed) AS "size known",
        round(10.0 * sum(changed) / nullif(count(changed), 0)) / 10.0 AS "mean lines",
        round(10 * median(cast(changed AS double))) / 10.0 AS "median lines"
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
    f.merged,
    f."size known",
    f."mean lines",
    f."median lines",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket
