-- How long does a pull request take from opening to merge?
-- Grain: one row
-- Dashboard: BitBucket, 2.5 Mean time to merge
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   opened at or after this instant
-- param: to timestamp = null   opened before this instant
-- Note: DevLake cuts each time down to whole minutes; here to the second. A mean follows the few longest, so the median
-- is shown beside it it. DevLake paints 3 days and more red.
WITH merged AS (
    SELECT
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
)

SELECT
    count(*) AS "merged pull requests",
    round(sum(x.seconds) / 864.0 / nullif(count(x.seconds), 0)) / 100 AS "mean days",
    round(median(cast(x.seconds AS double)) / 864.0) / 100 AS "median days"
FROM merged AS x
ORDER BY 1
