-- How long do the pull requests of each team wait for a first review?
-- Grain: one row per period and team
-- Dashboard: Engineering Throughput and Cycle Time (Team View), PR Pickup Time
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   merged at or after
-- param: to timestamp = null   merged before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A team's figures are those of what its present members wrote. A person in two teams counts for both, and once
-- in `(all teams)`, which is everybody who is in a team.
-- Note: The wait ends with the first comment, approval or request for changes by another person, no bot. Pull
-- requests without any and those of bots are left out; DevLake counts them as 0.
-- Note: A pull request of two projects counts once; DevLake joins its row of each project.
-- Note: Promotions (domain.pull_requests.promotion_evidence) are left out: they are no changes.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; none is dropped, as
-- DevLake drops the first.
WITH base AS (
    SELECT
        x.id,
        x.author_id,
        date_trunc($interval, min(x.pr_merged_date)) AS bucket,
        min(x.pickup_seconds) AS seconds
    FROM dora.project_pr_metrics AS x
    WHERE x.pr_merged_date IS NOT NULL
        AND x.author_is_bot = FALSE
        AND coalesce(x.exclusion_reason, '') <> 'promotion'
        AND x.first_response_date IS NOT NULL
        AND x.pickup_seconds IS NOT NULL
        AND ($from IS NULL OR x.pr_merged_date >= $from)
        AND ($to IS NULL OR x.pr_merged_date < $to)
        AND ($project IS NULL OR list_contains($project, x.project_name))
        AND ($repo IS NULL OR x.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
    GROUP BY x.id, x.author_id
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
        count(*) AS "pull requests",
        round(sum(seconds) / 360.0 / nullif(count(*), 0)) / 10.0 AS "mean h",
        round(median(cast(seconds AS double)) / 360.0) / 10.0 AS "median h"
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
    f."pull requests",
    f."mean h",
    f."median h",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket, CASE WHEN f.team_id = '' THEN 1 ELSE 0 END, f.team, f.team_id
