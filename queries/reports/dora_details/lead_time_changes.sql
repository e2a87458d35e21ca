-- How long did each change take that went to production?
-- Grain: one row per project and deployed change
-- Dashboard: DORA Details - Lead Time for Changes, 2 PR details
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   deployed at or after this instant
-- param: to timestamp = null   deployed before this instant
-- Note: DevLake finds the first commit by hash alone, so a commit of two pull requests doubles both; here one row per
-- project and pull request. Those that no figure counts are there, with the reason. Coding, pickup, review and deploy add
-- up to the lead time. As in the other reports, review is from the first response to the merge; "to approval h" and
-- "merge h" (from the first approval) are its parts.
SELECT
    p.project_name AS project,
    coalesce(r.name, p.repo_id) AS repository,
    q.pull_request_key AS number,
    q.title,
    q.author_name AS author,
    p.deployed_date AS deployed,
    round(p.lead_time_seconds / 360.0) / 10 AS "lead time h",
    round(p.coding_seconds / 360.0) / 10 AS "coding h",
    round(p.pickup_seconds / 360.0) / 10 AS "pickup h",
    round((p.review_seconds + p.merge_seconds) / 360.0) / 10 AS "review h",
    round(p.review_seconds / 360.0) / 10 AS "to approval h",
    round(p.merge_seconds / 360.0) / 10 AS "merge h",
    round(p.deploy_seconds / 360.0) / 10 AS "deploy h",
    coalesce(p.exclusion_reason, '') AS "not counted because",
    p.attribution,
    p.first_commit_sha AS "first commit",
    p.attributed_deployment_id AS deployment,
    q.url
FROM dora.project_pr_metrics AS p
INNER JOIN domain.pull_requests AS q ON p.id = q.id
LEFT JOIN domain.repos AS r ON p.repo_id = r.id
WHERE p.deployed_date IS NOT NULL
    AND ($project IS NULL OR list_contains($project, p.project_name))
    AND ($repo IS NULL OR p.repo_id IN (SELECT o.id FROM domain.repos AS o WHERE list_contains($repo, o.name)))
    AND ($from IS NULL OR p.deployed_date >= $from)
    AND ($to IS NULL OR p.deployed_date < $to)
ORDER BY p.deployed_date DESC, p.project_name, p.id
