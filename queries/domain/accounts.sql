-- Who takes part in the exported work?
--
-- Grain:  one row per Bitbucket account and connection.
-- Source: every table of the bitbucket layer in which an account appears, config.repositories.
--
-- Rules:
-- * The key is the account id, else the uuid: apps and workspaces have no account id, and would all be one otherwise.
-- * Records differ in what they tell of an account, and a nickname changes. Each column is the newest value that is
--   not empty: the members' list first (it speaks of today), then by the time of the record, then by the value itself,
--   so that the choice does not depend on the order of rows.
-- * Only appearances in repositories that export accounts and the entity itself count, each under its own connection.
-- * user_name is the nickname; a username exists in old records only.
-- * _raw_data_table and _raw_data_params name one place of the account: the one that DevLake reads last, else the first
--   by name. An account that is a member and nothing else has no repository there.

WITH appearances AS (
    SELECT 'issue_comments' AS place, _connection_id, _repository_uuid, created_on AS seen_at, "user" AS account
    FROM bitbucket.issue_comments
    UNION ALL
    SELECT 'issues', _connection_id, _repository_uuid, updated_on, reporter FROM bitbucket.issues
    UNION ALL
    SELECT 'issues', _connection_id, _repository_uuid, updated_on, assignee FROM bitbucket.issues
    UNION ALL
    SELECT 'pull_request_comments', _connection_id, _repository_uuid, created_on, "user"
    FROM bitbucket.pull_request_comments
    UNION ALL
    SELECT 'pull_request_comments', _connection_id, _repository_uuid, resolution['created_on'], resolution['user']
    FROM bitbucket.pull_request_comments
    UNION ALL
    SELECT 'pull_requests', _connection_id, _repository_uuid, updated_on, author FROM bitbucket.pull_requests
    UNION ALL
    SELECT 'pull_requests', _connection_id, _repository_uuid, updated_on, closed_by FROM bitbucket.pull_requests
    UNION ALL
    SELECT 'pull_requests', _connection_id, _repository_uuid, seen_at, item['user']
    FROM (
        SELECT _connection_id, _repository_uuid, updated_on AS seen_at, unnest(participants) AS item
        FROM bitbucket.pull_requests
    )
    UNION ALL
    SELECT 'pull_requests', _connection_id, _repository_uuid, seen_at, item
    FROM (
        SELECT _connection_id, _repository_uuid, updated_on AS seen_at, unnest(reviewers) AS item
        FROM bitbucket.pull_requests
    )
    UNION ALL
    SELECT 'pull_request_activity', _connection_id, _repository_uuid, "update"['date'], "update"['author']
    FROM bitbucket.pull_request_activity
    UNION ALL
    SELECT 'pull_request_activity', _connection_id, _repository_uuid, approval['date'], approval['user']
    FROM bitbucket.pull_request_activity
    UNION ALL
    SELECT 'pull_request_activity', _connection_id, _repository_uuid, changes_requested['date'], changes_requested['user']
    FROM bitbucket.pull_request_activity
    UNION ALL
    SELECT 'pull_request_activity', _connection_id, _repository_uuid, "comment"['created_on'], "comment"['user']
    FROM bitbucket.pull_request_activity
    UNION ALL
    SELECT 'pull_request_activity', _connection_id, _repository_uuid, seen_at, item
    FROM (
        SELECT _connection_id, _repository_uuid, "update"['date'] AS seen_at, unnest("update"['reviewers']) AS item
        FROM bitbucket.pull_request_activity
    )
    UNION ALL
    SELECT 'pull_request_commits', _connection_id, _repository_uuid, "date", author['user']
    FROM bitbucket.pull_request_commits
    UNION ALL
    SELECT 'pull_request_commits', _connection_id, _repository_uuid, "date", committer['user']
    FROM bitbucket.pull_request_commits
    UNION ALL
    SELECT 'issue_changes', _connection_id, _repository_uuid, created_on, "user" FROM bitbucket.issue_changes
    UNION ALL
    SELECT 'pipelines', _connection_id, _repository_uuid, created_on, creator FROM bitbucket.pipelines
    UNION ALL
    SELECT 'pipelines', _connection_id, _repository_uuid, completed_on, state['result']['terminator']
    FROM bitbucket.pipelines
    UNION ALL
    SELECT 'commits', _connection_id, _repository_uuid, "date", author['user'] FROM bitbucket.commits
    UNION ALL
    SELECT 'commits', _connection_id, _repository_uuid, "date", committer['user'] FROM bitbucket.commits
    UNION ALL
    SELECT 'tags', _connection_id, _repository_uuid, "date", tagger['user'] FROM bitbucket.tags
    UNION ALL
    SELECT 'tags', _connection_id, _repository_uuid, target['date'], target['author']['user'] FROM bitbucket.tags
    UNION ALL
    SELECT 'tags', _connection_id, _repository_uuid, target['date'], target['committer']['user'] FROM bitbucket.tags
    UNION ALL
    SELECT 'branches', _connection_id, _repository_uuid, target['date'], target['author']['user']
    FROM bitbucket.branches
    UNION ALL
    SELECT 'branches', _connection_id, _repository_uuid, target['date'], target['committer']['user']
    FROM bitbucket.branches
    UNION ALL
    SELECT 'repositories', _connection_id, _repository_uuid, updated_on, owner FROM bitbucket.repositories
),

described AS (
    SELECT
        CASE a.place
            WHEN 'issue_comments' THEN 1
            WHEN 'issues' THEN 2
            WHEN 'pull_request_comments' THEN 3
            WHEN 'pull_requests' THEN 4
            ELSE 5
        END AS rank,
        a.place,
        a._connection_id AS connection_id,
        s.full_name,
        false AS is_member,
        a.seen_at,
        a.account
    FROM appearances AS a
    JOIN config.repositories AS s
        ON s.connection_id = a._connection_id AND s.repository_uuid = a._repository_uuid
    WHERE s.accounts
        AND CASE
            WHEN a.place IN ('issues', 'issue_comments', 'issue_changes') THEN s.issues
            WHEN a.place IN ('commits', 'branches', 'tags') THEN s.code
            WHEN a.place = 'pipelines' THEN s.cicd
            WHEN a.place = 'repositories' THEN true
            ELSE s.review
        END
    UNION ALL
    SELECT
        6 AS rank,
        'workspace_members' AS place,
        m._connection_id AS connection_id,
        '' AS full_name,
        true AS is_member,
        m.added_on AS seen_at,
        m."user" AS account
    FROM bitbucket.workspace_members AS m
    WHERE EXISTS (
        SELECT 1
        FROM config.repositories AS s
        WHERE s.accounts AND s.connection_id = m._connection_id AND s.workspace = m._workspace
    )
),

-- An account appears a thousand times with the same words: keep each wording once before choosing.
wordings AS (
    SELECT
        connection_id,
        coalesce(nullif(account['account_id'], ''), nullif(account['uuid'], '')) AS account_key,
        nullif(account['type'], '') AS account_type,
        nullif(account['uuid'], '') AS uuid,
        nullif(account['display_name'], '') AS display_name,
        coalesce(nullif(account['nickname'], ''), nullif(account['username'], '')) AS user_name,
        nullif(account['links']['avatar']['href'], '') AS avatar_url,
        rank,
        place,
        full_name,
        is_member,
        max(seen_at) AS seen_at
    FROM described
    WHERE coalesce(nullif(account['account_id'], ''), nullif(account['uuid'], '')) IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
),

merged AS (
    SELECT
        connection_id,
        account_key,
        (array_agg(account_type ORDER BY
            is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
            avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
            full_name NULLS FIRST
        ) FILTER (WHERE account_type IS NOT NULL))[1] AS account_type,
        (array_agg(uuid ORDER BY
            is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
            avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
            full_name NULLS FIRST
        ) FILTER (WHERE uuid IS NOT NULL))[1] AS uuid,
        (array_agg(display_name ORDER BY
            is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
            avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
            full_name NULLS FIRST
        ) FILTER (WHERE display_name IS NOT NULL))[1] AS display_name,
        (array_agg(user_name ORDER BY
            is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
            avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
            full_name NULLS FIRST
        ) FILTER (WHERE user_name IS NOT NULL))[1] AS user_name,
        (array_agg(avatar_url ORDER BY
            is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
            avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
            full_name NULLS FIRST
        ) FILTER (WHERE avatar_url IS NOT NULL))[1] AS avatar_url
    FROM wordings
    GROUP BY connection_id, account_key
),

origins AS (
    SELECT connection_id, account_key, place, full_name
    FROM wordings
    QUALIFY row_number() OVER (PARTITION BY connection_id, account_key ORDER BY rank, place, full_name) = 1
)

SELECT
    concat('bitbucket:BitbucketAccount:', cast(m.connection_id AS varchar), ':', m.account_key) AS id,
    '' AS email,
    coalesce(m.display_name, '') AS full_name,
    coalesce(m.user_name, '') AS user_name,
    coalesce(m.avatar_url, '') AS avatar_url,
    '' AS organization,
    cast(NULL AS timestamp) AS created_date,
    0 AS status,
    concat('{"ConnectionId":', cast(m.connection_id AS varchar), ',"FullName":"', o.full_name, '"}') AS _raw_data_params,
    concat('_raw_bitbucket_api_', o.place) AS _raw_data_table,
    coalesce(m.account_type, '') AS account_type,
    coalesce(m.uuid, '') AS uuid,
    coalesce(m.account_type, '') = 'app_user'
        OR regexp_like(coalesce(m.user_name, ''), '(?i)([-_]bot|\[bot\])$|^(dependabot|renovate)')
        OR regexp_like(coalesce(m.display_name, ''), '(?i)([-_]bot|\[bot\])$|^(dependabot|renovate)') AS is_bot
FROM merged AS m
JOIN origins AS o ON o.connection_id = m.connection_id AND o.account_key = m.account_key
