-- Who opened a pull request for the first time?
-- Grain: one row per contributor
-- Dashboard: Weekly Community Retro, First time Contributor [Previous Week]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- Note: a person is an account; DevLake compares names. The first one is the first in any collected repository.
-- Bots are left out.
-- Note: DevLake's previous week is the eight days from Monday to Monday; here it is from `from` to before `to`.

WITH pull_requests AS (
    SELECT
        p.id,
        p.author_id,
        p.author_name,
        p.created_date
    FROM domain.pull_requests AS p
    WHERE ($from IS NULL OR p.created_date >= $from)
        AND ($to IS NULL OR p.created_date < $to)
        AND (
            ($repo IS NULL AND $project IS NULL)
            OR p.base_repo_id IN (
                SELECT r.id
                FROM domain.repos AS r
                LEFT JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = r.id
                WHERE ($repo IS NULL OR list_contains($repo, r.name))
                    AND ($project IS NULL OR list_contains($project, m.project_name))
            )
        )
),

firsts AS (
    SELECT
        author_id,
        min(created_date) AS first_date
    FROM domain.pull_requests
    WHERE author_id <> '' AND NOT ends_with(author_id, ':')
    GROUP BY author_id
)

SELECT
    min(p.author_name) AS contributor,
    f.first_date AS "first pull request",
    count(*) AS "pull requests"
FROM pull_requests AS p
INNER JOIN firsts AS f ON f.author_id = p.author_id
LEFT JOIN domain.accounts AS a ON a.id = p.author_id
WHERE ($from IS NULL OR f.first_date >= $from)
    AND coalesce(a.is_bot, FALSE) = FALSE
GROUP BY f.author_id, f.first_date
ORDER BY f.first_date, f.author_id
