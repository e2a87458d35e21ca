-- How many lines do the merged pull requests of each team change?
-- Grain: one row per period and team
-- Dashboard: Engineering Throughput and Cycle Time (Team View), PR Merged Size
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   merged at or after
-- param: to timestamp = null   merged before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A team's figures cover the work of its present members. A person in two teams counts for both, and once in
-- `(all teams)`, which covers everyone who is in a team.
-- Note: The size is the pull request's own, else the sum over its commits; pull requests of unknown size are left out
-- of the mean. Bitbucket provides no sizes, so they are known only where a [[table]] provides them. DevLake divides by
-- the number of team members; here the divisor is the pull requests.
-- Note: Promotions (domain.pull_requests.promotion_evidence) are left out: they are no changes.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH lines AS (
    SELECT
        l.pull_request_id,
        sum(c.additions + c.deletions) AS changed
    FROM domain.pull_request_commits AS l
    INNER JOIN domain.commits AS c ON c.sha = l.commit_sha
    WHERE c.parent_count < 2
    GROUP BY l.pull_request_id
),

base AS (
    SELECT
        p.id,
        p.author_id,
        date_trunc($interval, p.merged_date) AS bucket,
        coalesce(nullif(p.additions + p.deletions, 0), nullif(l.changed, 0)) AS changed
    FROM domain.pull_requests AS p
    LEFT JOIN lines AS l ON l.pull_request_id = p.id
    WHERE p.merged_date IS NOT NULL
        AND p.promotion_evidence IS NULL
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
        count(*) AS merged,
        count(changed) AS "size known",
        round(10.0 * sum(changed) / nullif(count(changed), 0)) / 10.0 AS "mean lines",
        round(10 * median(cast(changed AS double))) / 10.0 AS "median lines"
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
    f.merged,
    f."size known",
    f."mean lines",
    f."median lines",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket, CASE WHEN f.team_id = '' THEN 1 ELSE 0 END, f.team, f.team_id
