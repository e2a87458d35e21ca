-- Which commits does a pull request contain?
--
-- Grain:  one row per pull request and commit
-- Source: base.pull_request_ranges with domain.commits, where the commit graph has them; else
--         bitbucket.pull_request_commits; base.account_ids for people
--
-- Rules:
-- * The graph gives the commits that the source had and the destination had not, before the merge if there was one. It
--   wins: a list may have been read before the last push. Fast-forwards (a range without commits is one), and squashed
--   branches that were gone before they were seen, have their lists only.
-- * Name and e-mail come from the author line as git has it, split at the first "<"; a line without
--   one is a name without e-mail, and no author at all leaves both empty.
--
-- incremental: repository by _raw_data_params
WITH commits AS (
    SELECT
        c.*,
        coalesce(c.author['raw'], '') AS author_raw,
        coalesce(a.account_id, nullif(c.author['user']['account_id'], ''), nullif(c.author['user']['uuid'], ''))
            AS account_key,
        r.full_name,
        r.raw_data_params,
        cast(r.connection_id AS varchar) AS conn
    FROM bitbucket.pull_request_commits AS c
    INNER JOIN config.repositories AS r
        ON r.connection_id = c._connection_id AND r.repository_uuid = c._repository_uuid
    LEFT JOIN base.account_ids AS a ON a.connection_id = c._connection_id AND a.uuid = c.author['user']['uuid']
    WHERE r.review AND c.hash IS NOT NULL
),

listed AS (
    SELECT
        hash AS commit_sha,
        'bitbucket:BitbucketPullRequest:' || conn || ':' || full_name || ':' || cast(_pull_request_id AS varchar)
            AS pull_request_id,
        regexp_replace(split_part(author_raw, '<', 1), '\s+$', '') AS commit_author_name,
        regexp_replace(regexp_replace(split_part(author_raw, '<', 2), '^[>\s]+', ''), '[>\s]+$', '')
            AS commit_author_email,
        date AS commit_authored_date,
        raw_data_params AS _raw_data_params,
        '_raw_bitbucket_api_pull_request_commits' AS _raw_data_table,
        coalesce('bitbucket:BitbucketAccount:' || conn || ':' || account_key, '') AS commit_author_account_id
    FROM commits
)

SELECT *
FROM listed AS l
WHERE NOT EXISTS (
        SELECT 1
        FROM base.pull_request_ranges AS g
        WHERE g.pull_request_id = l.pull_request_id AND g.commit_sha <> ''
    )
UNION ALL
SELECT
    g.commit_sha,
    g.pull_request_id,
    c.author_name AS commit_author_name,
    c.author_email AS commit_author_email,
    c.authored_date AS commit_authored_date,
    p._raw_data_params,
    '_raw_bitbucket_api_commits' AS _raw_data_table,
    c.author_account_id AS commit_author_account_id
FROM base.pull_request_ranges AS g
INNER JOIN base.pull_requests AS p ON p.id = g.pull_request_id
INNER JOIN domain.commits AS c ON c.sha = g.commit_sha
WHERE g.commit_sha <> ''
