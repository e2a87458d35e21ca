-- How many of the pull requests that finished were not merged?
-- Grain: one row
-- Dashboard: BitBucket, 2.1 Ratio of unmerged PRs
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   opened at or after this instant
-- param: to timestamp = null   opened before this instant
-- Note: superseded pull requests finished without a merge too; DevLake leaves them out of both counts. Open ones are
-- not counted. DevLake paints 5 % and more red.
SELECT
    count(*) FILTER (WHERE p.status = 'MERGED') AS merged,
    count(*) FILTER (WHERE p.status = 'CLOSED') AS unmerged,
    round(
        1000.0
        * count(*) FILTER (WHERE p.status = 'CLOSED')
        / nullif(count(*) FILTER (WHERE p.status IN ('MERGED', 'CLOSED')), 0)
    ) / 10 AS "unmerged %",
    count(*) FILTER (WHERE p.original_status = 'SUPERSEDED') AS superseded
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
ORDER BY 1
