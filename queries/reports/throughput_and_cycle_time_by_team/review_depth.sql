-- How many review comments do the merged pull requests of each team get?
-- Grain: one row per period and team
-- Dashboard: Engineering Throughput and Cycle Time (Team View), Review Depth
-- param: team varchar[] = null   only these teams, by name
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   merged at or after
-- param: to timestamp = null   merged before
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: A team's figures cover the work of its present members. A person in two teams counts for both, and once in
-- `(all teams)`, which covers everyone who is in a team.
-- Note: Comments count when somebody else than the author wrote them, and no bot; approvals are no comments. DevLake
-- divides by the number of team members; here the divisor is the merged pull requests, as in the panel's name.
-- Note: Promotions (domain.pull_requests.promotion_evidence) are left out: they are no changes.
-- Note: `partial` marks a period that `from` or `to` cuts, or that is not collected as a whole; no period is
-- dropped, whereas DevLake drops the first.
WITH comments AS (
    SELECT
        c.pull_request_id,
        count(*) AS comments
    FROM domain.pull_request_comments AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.pull_request_id
    LEFT JOIN domain.accounts AS a ON a.id = c.account_id
    WHERE c.type <> 'REVIEW'
        AND c.account_id <> p.author_id
        AND coalesce(a.is_bot, FALSE) = FALSE
    GROUP BY c.pull_request_id
),

base AS (
    SELECT
        p.id,
        p.author_id,
        date_trunc($interval, p.merged_date) AS bucket,
        coalesce(c.comments, 0) AS comments
    FROM domain.pull_requests AS p
    LEFT JOIN comments AS c ON c.pull_request_id = p.id
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
        sum(comments) AS comments,
        round(100.0 * sum(comments) / nullif(count(*), 0)) / 100.0 AS "comments per pull request"
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
    f.comments,
    f."comments per pull request",
    coalesce(f.bucket < k.since OR f.bucket >= date_trunc($interval, k.until), FALSE) AS partial
FROM figures AS f
CROSS JOIN known AS k
ORDER BY f.bucket, CASE WHEN f.team_id = '' THEN 1 ELSE 0 END, f.team, f.team_id
