-- Who opens the most pull requests?
-- Grain: one row per author
-- Dashboard: Weekly Community Retro, Top Community Contributors By Number of PRs Created [Previous Week]; without from and to, [All History]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- param: n bigint = 20   how many
-- Note: a person is an account; DevLake groups by name. DevLake's all-history panel calls opened ones merged and
-- follows the picker; both numbers are here. Bots are left out.
-- Note: DevLake leaves out authors of the chosen organizations; Bitbucket provides no organization, so all authors
-- count.
-- Note: DevLake's previous week is the eight days from Monday to Monday; here it is from `from` to before `to`.

WITH pull_requests AS (
    SELECT
        p.id,
        p.author_id,
        p.author_name,
        p.merged_date
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
)

SELECT
    min(p.author_name) AS author,
    count(*) AS opened,
    count(p.merged_date) AS merged
FROM pull_requests AS p
LEFT JOIN domain.accounts AS a ON a.id = p.author_id
WHERE coalesce(a.is_bot, FALSE) = FALSE
GROUP BY p.author_id
ORDER BY opened DESC NULLS LAST, author, p.author_id
LIMIT $n
