-- How many people write code?
-- Grain: one row per period
-- Dashboard: Engineering Overview, Number of Developers
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   authored at or after
-- param: to timestamp = null   authored before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A person is counted once: by [org] users where the account is mapped, else by account, else by e-mail;
-- DevLake counts spellings of names. Bots do not count.
-- Note: The row `all` is the stat panel, the others are the chart. `partial` marks a period that `from` or `to` cuts,
-- or that is not collected as a whole; none is dropped, as DevLake drops the first.
WITH authored AS (
    SELECT
        date_trunc($interval, c.authored_date) AS bucket,
        coalesce(u.user_id, nullif(c.author_account_id, ''), nullif(lower(c.author_email), ''), c.author_name) AS person
    FROM domain.commits AS c
    LEFT JOIN domain.user_accounts AS u ON u.account_id = c.author_account_id
    LEFT JOIN domain.accounts AS a ON a.id = c.author_account_id
    WHERE coalesce(a.is_bot, FALSE) = FALSE
        AND c.authored_date IS NOT NULL
        AND ($from IS NULL OR c.authored_date >= $from)
        AND ($to IS NULL OR c.authored_date < $to)
        AND ($project IS NULL OR c.sha IN (
            SELECT rc.commit_sha
            FROM domain.repo_commits AS rc
            INNER JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = rc.repo_id
            WHERE list_contains($project, m.project_name)
        ))
        AND ($repo IS NULL OR c.sha IN (
            SELECT rc.commit_sha
            FROM domain.repo_commits AS rc
            INNER JOIN domain.repos AS r ON r.id = rc.repo_id
            WHERE list_contains($repo, r.name)
        ))
),

figures AS (
    SELECT
        bucket,
        count(DISTINCT person) AS developers,
        count(*) AS commits
    FROM authored GROUP BY rollup (bucket)
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS since,
        least(max(collected_until), $to) AS until
    FROM metrics.collected_windows
    WHERE $project IS NULL OR list_contains($project, project_name)
)

SELECT
    coalesce(cast(cast(f.bucket AS date) AS varchar), 'all') AS period,
    f.developers,
    f.commits,
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY CASE WHEN f.bucket IS NULL THEN 0 ELSE 1 END, f.bucket
