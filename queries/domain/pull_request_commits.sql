-- Which commits did a pull request bring?
--
-- Grain:  one row per pull request and commit
-- Source: bitbucket.pull_request_commits
--
-- Rules:
-- * Name and e-mail come from the author line as git has it, split at the first "<"; a line without
--   one is a name without e-mail, and no author at all leaves both empty.
WITH commits AS (
    SELECT c.*, coalesce(c.author['raw'], '') AS author_raw, r.full_name, cast(r.connection_id AS varchar) AS conn
    FROM bitbucket.pull_request_commits AS c
    JOIN config.repositories AS r
      ON r.connection_id = c._connection_id AND r.repository_uuid = c._repository_uuid
    WHERE r.review AND c.hash IS NOT NULL
)
SELECT
    hash AS commit_sha,
    'bitbucket:BitbucketPullRequest:' || conn || ':' || full_name || ':' || cast(_pull_request_id AS varchar)
        AS pull_request_id,
    regexp_replace(split_part(author_raw, '<', 1), '\s+$', '') AS commit_author_name,
    regexp_replace(regexp_replace(split_part(author_raw, '<', 2), '^[>\s]+', ''), '[>\s]+$', '') AS commit_author_email,
    date AS commit_authored_date,
    '{"ConnectionId":' || conn || ',"FullName":"' || full_name || '"}' AS _raw_data_params,
    '_raw_bitbucket_api_pull_request_commits' AS _raw_data_table,
    coalesce(
        'bitbucket:BitbucketAccount:' || conn || ':' || coalesce(nullif(author['user']['account_id'], ''), nullif(author['user']['uuid'], '')),
        ''
    ) AS commit_author_account_id
FROM commits
