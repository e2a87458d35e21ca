-- How many pull requests does each team open, and how many of its pull requests are merged?
-- Grain: one row per period and team
-- Dashboard: Engineering Throughput and Cycle Time (Team View), PRs Opened and Merged
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   opened or merged at or after
-- param: to timestamp = null   opened or merged before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A team's figures cover the work of its present members. A person in two teams counts for both, and once in
-- `(all teams)`, which covers everyone who is in a team.
-- Note: A merge counts in the period of the merge. DevLake counts it in the period in which the pull request was
-- opened.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH base AS (
    SELECT
        p.id,
        p.author_id,
        'opened' AS event,
        date_trunc($interval, p.created_date) AS bucket
    FROM domain.pull_requests AS p
    WHERE p.created_date IS NOT NULL
        AND ($from IS NULL OR p.created_date >= $from)
        AND ($to IS NULL OR p.created_date < $to)
        AND ($project IS NULL OR p.base_repo_id IN (
            SELECT m.row_id
            FROM domain.project_mapping AS m
            WHERE m."table" = 'repos' AND list_contains($project, m.project_name)
        ))
        AND ($repo IS NULL OR p.base_repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
    UNION ALL
    SELECT
        p.id,
        p.author_id,
        'merged' AS event,
        date_trunc($interval, p.merged_date) AS bucket
    FROM domain.pull_requests AS p
    WHERE p.merged_date IS NOT NULL
        AND ($from IS NULL OR p.merged_date >= $from)
        AND ($to IS NULL OR p.merged_date < $to)
        AND ($project IS NULL OR p.base_repo_id IN (
            SELECT m.row_id
            FROM domain.project_mapping AS m
            WHERE m."table" = 'repos' AND list_contains($project, m.project_name)
        ))
        AND ($repo IS NULL OR p.base_repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
),

by_team AS (
    SELECT
        t.team_id,
        t.team_name AS team,
        t.member_count AS members,
        b.*
    FROM base AS b
    INNER JOIN dora.team_members AS t ON t.account_id = b.author_id
    WHERE t.account_id <> '' AND ($team IS NULL OR t.team_id = '' OR list_contains($team, t.team_name))
),

figures AS (
    SELECT
        team_id,
        team,
        members,
        bucket,
        count(*) FILTER (WHERE event = 'opened') AS opened,
        count(*) FILTER (WHERE event = 'merged') AS merged
    FROM by_team
    GROUP BY team_id, team, members, bucket
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS since,
        least(max(collected_until), $to) AS until
    FROM metrics.collected_windows
    WHERE $project IS NULL OR list_contains($project, project_name)
)

SELECT
    cast(f.bucket AS date) AS period,
    f.team,
    f.members,
    f.opened,
    f.merged,
    round(10.0 * f.merged / nullif(f.members, 0)) / 10.0 AS "merged per member",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket, CASE WHEN f.team_id = '' THEN 1 ELSE 0 END, f.team, f.team_id
