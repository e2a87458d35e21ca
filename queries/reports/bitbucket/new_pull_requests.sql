-- How many pull requests are opened?
-- Grain: one row
-- Dashboard: BitBucket, 1.1 Number of new PRs
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   opened at or after this instant
-- param: to timestamp = null   opened before this instant
SELECT
    count(*) AS "pull requests",
    count(DISTINCT p.base_repo_id) AS repositories
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
