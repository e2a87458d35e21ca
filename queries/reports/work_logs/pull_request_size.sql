-- How large are their merged pull requests?
-- Grain: one row
-- Dashboard: Work Logs, Average PR size
-- param: team varchar[] = null   only members of these teams, by name
-- param: person varchar[] = null   only these people, by name
-- param: from timestamp = null   created not before this
-- param: to timestamp = null   created before this
-- Note: DevLake adds the lines of the merge commit, which has none, over pull requests of everybody; here they are the
-- pull request's own, or else those of its commits in domain.commit_files, which git or a [[table]] can fill; sized
-- counts those known.
-- Note: people are the accounts, under the person's name where [org] has it, or else the account's; DevLake shows no
-- people without [org]. Bots are left out.

WITH people AS (
    SELECT
        a.id AS account_id,
        coalesce(nullif(u.name, ''), a.full_name) AS person
    FROM domain.accounts AS a
    LEFT JOIN domain.user_accounts AS ua ON ua.account_id = a.id
    LEFT JOIN domain.users AS u ON u.id = ua.user_id
    WHERE coalesce(a.is_bot, FALSE) = FALSE
        AND ($person IS NULL OR list_contains($person, coalesce(nullif(u.name, ''), a.full_name)))
        AND (
            $team IS NULL
            OR u.id IN (
                SELECT tu.user_id
                FROM domain.team_users AS tu
                INNER JOIN domain.teams AS t ON t.id = tu.team_id
                WHERE list_contains($team, t.name)
            )
        )
),

opened AS (
    SELECT
        r.id,
        r.status,
        r.additions,
        r.deletions
    FROM domain.pull_requests AS r
    WHERE r.author_id IN (SELECT p.account_id FROM people AS p)
        AND ($from IS NULL OR r.created_date >= $from)
        AND ($to IS NULL OR r.created_date < $to)
),

files AS (
    SELECT
        prc.pull_request_id,
        sum(f.additions) + sum(f.deletions) AS lines
    FROM domain.pull_request_commits AS prc
    INNER JOIN domain.commit_files AS f ON f.commit_sha = prc.commit_sha
    GROUP BY prc.pull_request_id
),

sizes AS (
    SELECT
        o.id,
        coalesce(nullif(o.additions + o.deletions, 0), f.lines) AS lines
    FROM opened AS o
    LEFT JOIN files AS f ON f.pull_request_id = o.id
    WHERE o.status = 'MERGED'
)

SELECT
    count(*) AS merged,
    count(lines) AS sized,
    round(1.0 * sum(lines) / nullif(count(lines), 0), 1) AS "mean lines",
    round(1.0 * median(lines), 1) AS "median lines"
FROM sizes
