-- Which commits are there, who wrote them and when?
--
-- Grain:  one row per commit hash, over all repositories
-- Source: bitbucket.commits; bitbucket.pull_request_commits for commits that a squash merge or a
--         deleted branch left unreachable; domain.commit_files for the lines; base.email_accounts for the
--         accounts of authors; base.account_ids for people
--
-- Rules:
-- * The commits endpoint wins over a pull request's list; among repositories the first by connection
--   and name, so that the row does not depend on the order of collection.
-- * The API provides one date without its kind: it is used as the authored and the committed date. Git
--   provides both.
-- * The lines are those of the commit's files, where they are known.
-- * Author and committer are split at the first "<" of the line as git has it; a line without one is a
--   name without e-mail. The ids are the e-mails, as the git-based tables of DevLake have them.
-- * Git has no accounts: a commit that was read by git has the account that the connection's other records
--   have with the same e-mail, if they agree.
--
-- incremental: repository by _raw_data_params
WITH collected AS (
    SELECT
        1 AS preference,
        '_raw_bitbucket_api_commits' AS raw_data_table,
        _connection_id,
        _repository_uuid,
        hash,
        date,
        author_date,
        committer_date,
        message,
        coalesce(author['raw'], '') AS author_raw,
        author['user']['account_id'] AS author_account_id,
        author['user']['uuid'] AS author_uuid,
        coalesce(committer['raw'], '') AS committer_raw,
        array_length(parents) AS parent_count,
        links['html']['href'] AS url
    FROM bitbucket.commits
    UNION ALL
    SELECT
        2 AS preference,
        '_raw_bitbucket_api_pull_request_commits' AS raw_data_table,
        _connection_id,
        _repository_uuid,
        hash,
        date,
        cast(NULL AS timestamp) AS author_date,
        cast(NULL AS timestamp) AS committer_date,
        message,
        coalesce(author['raw'], '') AS author_raw,
        author['user']['account_id'] AS author_account_id,
        author['user']['uuid'] AS author_uuid,
        coalesce(committer['raw'], '') AS committer_raw,
        array_length(parents) AS parent_count,
        links['html']['href'] AS url
    FROM bitbucket.pull_request_commits
),

chosen AS (
    SELECT
        c.*,
        r.connection_id,
        r.full_name,
        r.raw_data_params
    FROM collected AS c
    INNER JOIN config.repositories AS r
        ON r.connection_id = c._connection_id AND r.repository_uuid = c._repository_uuid
    WHERE r.code AND c.hash IS NOT NULL
    QUALIFY row_number() OVER (
            PARTITION BY c.hash
            ORDER BY c.preference, r.connection_id, r.full_name, c.date, c.message
        ) = 1
),

lines AS (
    SELECT
        commit_sha,
        cast(sum(additions) AS bigint) AS additions,
        cast(sum(deletions) AS bigint) AS deletions
    FROM domain.commit_files
    GROUP BY commit_sha
)

SELECT
    s.hash AS sha,
    coalesce(l.additions, 0) AS additions,
    coalesce(l.deletions, 0) AS deletions,
    0 AS dev_eq,
    coalesce(message, '') AS message,
    regexp_replace(split_part(author_raw, '<', 1), '\s+$', '') AS author_name,
    regexp_replace(regexp_replace(split_part(author_raw, '<', 2), '^[>\s]+', ''), '[>\s]+$', '') AS author_email,
    coalesce(author_date, date) AS authored_date,
    regexp_replace(regexp_replace(split_part(author_raw, '<', 2), '^[>\s]+', ''), '[>\s]+$', '') AS author_id,
    regexp_replace(split_part(committer_raw, '<', 1), '\s+$', '') AS committer_name,
    regexp_replace(regexp_replace(split_part(committer_raw, '<', 2), '^[>\s]+', ''), '[>\s]+$', '') AS committer_email,
    coalesce(committer_date, date) AS committed_date,
    regexp_replace(regexp_replace(split_part(committer_raw, '<', 2), '^[>\s]+', ''), '[>\s]+$', '') AS committer_id,
    raw_data_params AS _raw_data_params,
    raw_data_table AS _raw_data_table,
    coalesce(
        'bitbucket:BitbucketAccount:' || cast(s.connection_id AS varchar) || ':'
        || coalesce(
            a.account_id,
            nullif(s.author_account_id, ''),
            nullif(s.author_uuid, ''),
            CASE WHEN committer_date IS NOT NULL THEN k.account END
        ),
        ''
    ) AS author_account_id,
    coalesce(cast(s.parent_count AS bigint), 0) AS parent_count,
    coalesce(s.url, '') AS url
FROM chosen AS s
LEFT JOIN lines AS l ON l.commit_sha = s.hash
LEFT JOIN base.account_ids AS a ON a.connection_id = s.connection_id AND a.uuid = s.author_uuid
LEFT JOIN base.email_accounts AS k
    ON k.connection_id = s.connection_id
        AND k.email = lower(regexp_replace(split_part(s.author_raw, '<', 2), '[>\s]+$', ''))
