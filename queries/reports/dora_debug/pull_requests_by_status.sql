-- How many pull requests are collected, and how many could have a lead time?
-- Grain: one row per project, repository and status
-- Dashboard: DORA Debug, Lead Time for Changes, step 1: pull requests
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   opened at or after
-- param: to timestamp = null   opened before
-- Note: A pull request of two projects is in the rows of both. One without a full merge commit can only be found by
-- the newest of its commits that the repository has.
SELECT
    m.project_name AS project,
    coalesce(r.name, p.base_repo_id) AS repository,
    p.status,
    p.original_status AS "original status",
    count(*) AS "pull requests",
    count(p.merged_date) AS "with merge time",
    count(nullif(p.merge_commit_sha, '')) AS "with merge commit",
    count(*) FILTER (WHERE p.merge_commit_sha_match IN ('full', 'prefix')) AS "merge commit known",
    min(p.created_date) AS first,
    max(p.created_date) AS last
FROM domain.pull_requests AS p
INNER JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = p.base_repo_id
LEFT JOIN domain.repos AS r ON r.id = p.base_repo_id
WHERE ($from IS NULL OR p.created_date >= $from)
    AND ($to IS NULL OR p.created_date < $to)
    AND ($project IS NULL OR list_contains($project, m.project_name))
    AND ($repo IS NULL OR p.base_repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
GROUP BY m.project_name, coalesce(r.name, p.base_repo_id), p.status, p.original_status
ORDER BY project, repository, p.status, p.original_status
