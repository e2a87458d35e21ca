-- On what share of working days does a developer commit?
-- Grain: one row per period
-- Dashboard: Engineering Overview, Coding Days %
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   authored on this day or later
-- param: to timestamp = null   authored before this day
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: The share is coding days over (developers of the period times its days from Monday to Friday); DevLake
-- divides by the days on which anybody committed, so a day without commits is left out. Days are UTC days that are
-- collected; holidays are not known.
-- Note: A person is counted once: by [org] users where the account is mapped, else by account, else by e-mail;
-- DevLake counts spellings of names. Bots do not count.
-- Note: The row `all` is the stat panel, the others are the chart. `partial` marks a period that `from` or `to` cuts,
-- or that is not collected as a whole; none is dropped, as DevLake drops the first.
WITH calendar AS (
    SELECT DISTINCT CASE WHEN b.period = 'day' THEN cast(b.label AS timestamp) END AS midnight
    FROM config.buckets AS b
    WHERE ($project IS NULL OR list_contains($project, b.project_name))
        AND ($from IS NULL OR b.period_start >= $from)
        AND ($to IS NULL OR b.period_end <= $to)
),

days AS (
    SELECT
        cast(midnight AS date) AS workday,
        date_trunc($interval, midnight) AS bucket
    FROM calendar
    WHERE midnight < date_trunc('week', midnight) + interval '5 days'
),

authored AS (
    SELECT DISTINCT
        cast(c.authored_date AS date) AS workday,
        coalesce(u.user_id, nullif(c.author_account_id, ''), nullif(lower(c.author_email), ''), c.author_name) AS person
    FROM domain.commits AS c
    LEFT JOIN domain.user_accounts AS u ON u.account_id = c.author_account_id
    LEFT JOIN domain.accounts AS a ON a.id = c.author_account_id
    WHERE coalesce(a.is_bot, FALSE) = FALSE
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

day_counts AS (
    SELECT
        bucket,
        count(*) AS days
    FROM days GROUP BY rollup (bucket)
),

coded AS (
    SELECT
        d.bucket,
        count(*) AS coding_days,
        count(DISTINCT w.person) AS developers
    FROM authored AS w
    INNER JOIN days AS d ON d.workday = w.workday
    GROUP BY rollup (d.bucket)
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
    f.days AS "working days",
    coalesce(c.developers, 0) AS developers,
    coalesce(c.coding_days, 0) AS "coding days",
    round(1000.0 * c.coding_days / nullif(c.developers * f.days, 0)) / 10.0 AS "coding days %",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM day_counts AS f
LEFT JOIN coded AS c ON c.bucket IS NOT DISTINCT FROM f.bucket
CROSS JOIN known AS k
WHERE f.days > 0
ORDER BY CASE WHEN f.bucket IS NULL THEN 0 ELSE 1 END, f.bucket
