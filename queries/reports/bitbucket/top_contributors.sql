-- Who opened the most pull requests that were merged?
-- Grain: one row per author
-- Dashboard: BitBucket, 1.3 Top 20 contributors
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   opened at or after this instant
-- param: to timestamp = null   opened before this instant
-- param: n bigint = 20   how many people
-- Note: DevLake counts by display name and so mixes namesakes; here by account, by name only where the account is gone.
WITH merged AS (
    SELECT
        p.base_repo_id,
        coalesce(a.id, p.author_name) AS author_key,
        coalesce(a.full_name, p.author_name) AS author,
        coalesce(a.is_bot, FALSE) AS is_bot
    FROM domain.pull_requests AS p
    LEFT JOIN domain.accounts AS a ON p.author_id = a.id
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
        AND p.status = 'MERGED'
)

SELECT
    author,
    count(*) AS "merged pull requests",
    count(DISTINCT base_repo_id) AS repositories,
    is_bot AS bot
FROM merged
GROUP BY author_key, author, is_bot
ORDER BY count(*) DESC, author, author_key
LIMIT $n
