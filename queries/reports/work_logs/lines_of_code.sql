-- How many lines did people change?
-- Grain: one row
-- Dashboard: Work Logs, Lines of code
-- param: team varchar[] = null   only members of these teams, by name
-- param: person varchar[] = null   only these people, by name
-- param: from timestamp = null   authored not before this
-- param: to timestamp = null   authored before this
-- Note: Bitbucket's API does not provide line counts; they come from domain.commit_files, which git or a [[table]] can
-- fill, or else from domain.commits. Without any there are no lines instead of 0; "commits sized" counts those that have
-- them. DevLake counts commits of equal message, time and lines
-- once.
-- Note: commits are joined by Bitbucket's account, or else by the person's e-mail address; DevLake joins accounts to
-- the commit's e-mail address, which finds none of Bitbucket's.
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

authors AS (
    SELECT
        p.account_id AS author_key,
        p.person
    FROM people AS p
    UNION ALL
    SELECT
        lower(u.email),
        min(u.name)
    FROM domain.users AS u
    WHERE u.email <> ''
        AND ($person IS NULL OR list_contains($person, u.name))
        AND (
            $team IS NULL
            OR u.id IN (
                SELECT tu.user_id
                FROM domain.team_users AS tu
                INNER JOIN domain.teams AS t ON t.id = tu.team_id
                WHERE list_contains($team, t.name)
            )
        )
    GROUP BY lower(u.email)
),

files AS (
    SELECT
        f.commit_sha,
        sum(f.additions) AS additions,
        sum(f.deletions) AS deletions
    FROM domain.commit_files AS f
    GROUP BY f.commit_sha
),

sized AS (
    SELECT
        c.sha,
        CASE
            WHEN f.additions + f.deletions > 0 THEN f.additions
            WHEN c.additions + c.deletions > 0 THEN c.additions
        END AS additions,
        CASE
            WHEN f.additions + f.deletions > 0 THEN f.deletions
            WHEN c.additions + c.deletions > 0 THEN c.deletions
        END AS deletions
    FROM domain.commits AS c
    LEFT JOIN files AS f ON f.commit_sha = c.sha
    WHERE (
        CASE WHEN c.author_account_id <> '' THEN c.author_account_id ELSE lower(c.author_email) END
    ) IN (SELECT a.author_key FROM authors AS a)
    AND ($from IS NULL OR c.authored_date >= $from)
    AND ($to IS NULL OR c.authored_date < $to)
)

SELECT
    sum(additions) + sum(deletions) AS lines,
    sum(additions) AS added,
    sum(deletions) AS deleted,
    count(*) AS commits,
    count(additions) AS "commits sized",
    CASE
        WHEN count(*) = 0 THEN 'no commits'
        WHEN count(additions) = 0 THEN 'no line counts: `commits = "git"` or a [[table]] provides them'
        ELSE ''
    END AS note
FROM sized
