-- How long do the changes of each team take to production, as a whole or in one part?
-- Grain: one row per period and team
-- Dashboard: Engineering Throughput and Cycle Time (Team View), PR Cycle, Coding, Pickup, Review and Deploy Time
-- alias: throughput_and_cycle_time_by_team/coding_time part=coding
-- alias: throughput_and_cycle_time_by_team/pickup_time part=pickup
-- alias: throughput_and_cycle_time_by_team/review_time part=review
-- alias: throughput_and_cycle_time_by_team/deploy_time part=deploy
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   merged at or after
-- param: to timestamp = null   merged before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- param: part varchar = cycle   one of: cycle, coding, pickup, review, deploy
-- Note: A team's figures cover the work of its present members. A person in two teams counts for both, and once in
-- `(all teams)`, which covers everyone who is in a team.
-- Note: cycle is from the first commit to production, coding to the pull request, pickup to the first response, review
-- to the merge, deploy to production. A response is a comment, an approval or a request for changes by another person,
-- no bot.
-- Note: cycle and deploy count the changes that reached production and that nothing excludes
-- (dora.project_pr_metrics.exclusion_reason). The other parts leave out bots, promotions
-- (domain.pull_requests.promotion_evidence) and pull requests that lack the part. DevLake counts a missing part as 0
-- and files review times by the time of opening.
-- Note: A pull request of two projects counts once; DevLake joins its row of each project.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH parts AS (
    SELECT
        project_name,
        id,
        repo_id,
        author_id,
        pr_merged_date,
        CASE $part
            WHEN 'coding' THEN CASE WHEN start_source = 'first_commit' THEN coding_seconds END
            WHEN 'pickup' THEN CASE WHEN first_response_date IS NOT NULL THEN pickup_seconds END
            WHEN 'review' THEN CASE WHEN first_response_date IS NOT NULL THEN review_seconds + merge_seconds END
            WHEN 'deploy' THEN deploy_seconds
            ELSE lead_time_seconds
        END AS seconds
    FROM dora.project_pr_metrics
    WHERE CASE
            WHEN $part IN ('deploy', 'cycle') THEN exclusion_reason IS NULL
            ELSE author_is_bot = FALSE AND coalesce(exclusion_reason, '') <> 'promotion'
        END
),

base AS (
    SELECT
        x.id,
        x.author_id,
        date_trunc($interval, min(x.pr_merged_date)) AS bucket,
        min(x.seconds) AS seconds
    FROM parts AS x
    WHERE x.pr_merged_date IS NOT NULL
        AND x.seconds IS NOT NULL
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
