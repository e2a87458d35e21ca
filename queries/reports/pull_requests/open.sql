-- Which pull requests have been open longest?
-- Grain: one row per open pull request
-- param: n bigint = 20   how many
SELECT
    split_part(p.base_repo_id, ':', 4) AS repository,
    p.pull_request_key AS number,
    p.title,
    p.author_name AS author,
    p.created_date AS opened,
    p.is_draft AS draft,
    p.url
FROM domain.pull_requests AS p
WHERE p.status = 'OPEN'
ORDER BY p.created_date, p.id
LIMIT $n
