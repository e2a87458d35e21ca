-- How long do the pull requests opened in each period take until they are merged?
-- Grain: one row per period
-- Dashboard: BitBucket, 2.6 Mean time to merge by interval
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   opened at or after this instant
-- param: to timestamp = null   opened before this instant
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: by the period of opening, as in DevLake: recent periods lack their slow ones, which are still open. DevLake
-- labels weeks by their Tuesday and drops the first month; here weeks bear their Monday and no period is dropped:
-- `partial` marks one that from, to or the start of collection cuts, or that was not over at the last run. Only periods
-- with a row are listed.
WITH merged AS (
    SELECT
        date_trunc($interval, p.created_date) AS period,
        CASE
            WHEN p.merged_date >= p.created_date
                THEN cast(round(extract(EPOCH FROM p.merged_date) - extract(EPOCH FROM p.created_date)) AS bigint)
        END AS seconds
    FROM domain.pull_requests AS p
    WHERE p.id LIKE 'bitbucket:%'
        AND ($repo IS NULL OR p.base_repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($project IS NULL OR p.base_repo_id IN (
            SELECT m.row_id
            FROM domain.project_mapping AS m
            WHERE m."table" = 'repos' AND list_contains($project, m.project_name)
        ))
        AND p.created_date IS NOT NULL
        AND ($from IS NULL OR p.created_date >= $from)
        AND ($to IS NULL OR p.created_date < $to)
        AND p.merged_date IS NOT NULL
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS known_from,
        least(max(collected_until), $to) AS known_to
    FROM metrics.collected_windows
)

SELECT
    cast(x.period AS date) AS period,
    count(*) AS "merged pull requests",
    round(sum(x.seconds) / 864.0 / nullif(count(x.seconds), 0)) / 100 AS "mean days",
    round(median(cast(x.seconds AS double)) / 864.0) / 100 AS "median days",
    coalesce(x.period < k.known_from, FALSE)
    OR coalesce(x.period >= date_trunc($interval, k.known_to), FALSE) AS partial
FROM merged AS x
CROSS JOIN known AS k
GROUP BY x.period, k.known_from, k.known_to
ORDER BY period
