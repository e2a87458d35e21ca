-- What did people do, latest first?
-- Grain: one row per activity of a person
-- Dashboard: Work Logs, Work Logs
-- param: team varchar[] = null   only members of these teams, by name
-- param: person varchar[] = null   only these people, by name
-- param: from timestamp = null   done not before this
-- param: to timestamp = null   done before this
-- param: n bigint = 500   how many
-- Note: a person's own remark on a pull request of theirs is a comment too.
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

activities AS (
    SELECT
        i.created_date AS happened,
        p.person,
        'issue created' AS activity,
        concat('#', i.issue_key, ' ', i.title) AS details,
        i.url AS url,
        i.id AS id
    FROM domain.issues AS i
    INNER JOIN people AS p ON p.account_id = i.creator_id
    WHERE i.created_date IS NOT NULL
    UNION ALL
    SELECT
        i.resolution_date AS happened,
        p.person,
        'issue resolved' AS activity,
        concat('#', i.issue_key, ' ', i.title) AS details,
        i.url AS url,
        i.id AS id
    FROM domain.issues AS i
    INNER JOIN people AS p ON p.account_id = i.assignee_id
    WHERE i.resolution_date IS NOT NULL
    UNION ALL
    SELECT
        c.authored_date AS happened,
        p.person,
        'commit' AS activity,
        concat(substr(c.sha, 1, 12), ' ', split_part(c.message, chr(10), 1)) AS details,
        c.url AS url,
        c.sha AS id
    FROM domain.commits AS c
    INNER JOIN
        authors AS p
        ON p.author_key = CASE WHEN c.author_account_id <> '' THEN c.author_account_id ELSE lower(c.author_email) END
    WHERE c.authored_date IS NOT NULL
    UNION ALL
    SELECT
        r.created_date AS happened,
        p.person,
        'pull request opened' AS activity,
        concat('#', cast(r.pull_request_key AS varchar), ' ', r.title) AS details,
        r.url AS url,
        r.id AS id
    FROM domain.pull_requests AS r
    INNER JOIN people AS p ON p.account_id = r.author_id
    WHERE r.created_date IS NOT NULL
    UNION ALL
    SELECT
        r.merged_date AS happened,
        p.person,
        'pull request merged' AS activity,
        concat('#', cast(r.pull_request_key AS varchar), ' ', r.title) AS details,
        r.url AS url,
        r.id AS id
    FROM domain.pull_requests AS r
    INNER JOIN people AS p ON p.account_id = r.author_id
    WHERE r.merged_date IS NOT NULL
    UNION ALL
    SELECT
        c.created_date,
        p.person,
        CASE WHEN c.type IN ('REVIEW', 'DIFF') THEN 'review' ELSE 'comment' END,
        concat('#', cast(r.pull_request_key AS varchar), ' ', r.title),
        r.url,
        c.id
    FROM domain.pull_request_comments AS c
    INNER JOIN people AS p ON p.account_id = c.account_id
    INNER JOIN domain.pull_requests AS r ON r.id = c.pull_request_id
    WHERE c.created_date IS NOT NULL
)

SELECT
    cast(v.happened AS date) AS day,
    v.happened AS time,
    v.person,
    v.activity,
    v.details,
    v.url
FROM activities AS v
WHERE ($from IS NULL OR v.happened >= $from)
    AND ($to IS NULL OR v.happened < $to)
ORDER BY v.happened DESC NULLS LAST, v.person, v.activity, v.id
LIMIT $n
