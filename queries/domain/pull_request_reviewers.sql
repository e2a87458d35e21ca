-- Who was asked to review a pull request, and what did they decide?
--
-- Grain:  one row per pull request and reviewer
-- Source: bitbucket.pull_requests: participants in the role REVIEWER, and the list of reviewers; base.account_ids
--
-- Rules:
-- * Someone who only commented is a participant, not a reviewer (DevLake takes all participants).
-- * The participant's record wins, as it has the decision and its time. state is approved,
--   changes_requested or ''.
-- * name is the display name, user_name the nickname (DevLake puts the display name in both).
--
-- incremental: repository by _raw_data_params
WITH listed AS (
    SELECT
        1 AS preference,
        _connection_id,
        _repository_uuid,
        id,
        entry['user']['account_id'] AS account_id,
        entry['user']['uuid'] AS account_uuid,
        entry['user']['display_name'] AS display_name,
        entry['user']['nickname'] AS nickname,
        entry['role'] AS role,
        entry['state'] AS state,
        entry['approved'] AS approved,
        entry['participated_on'] AS participated_on
    FROM (
        SELECT
            _connection_id,
            _repository_uuid,
            id,
            unnest(participants) AS entry
        FROM bitbucket.pull_requests
    )
    UNION ALL
    SELECT
        2 AS preference,
        _connection_id,
        _repository_uuid,
        id,
        entry['account_id'] AS account_id,
        entry['uuid'] AS account_uuid,
        entry['display_name'] AS display_name,
        entry['nickname'] AS nickname,
        'REVIEWER' AS role,
        NULL AS state,
        NULL AS approved,
        NULL AS participated_on
    FROM (
        SELECT
            _connection_id,
            _repository_uuid,
            id,
            unnest(reviewers) AS entry
        FROM bitbucket.pull_requests
    )
),

reviewers AS (
    SELECT
        l.*,
        r.full_name,
        r.raw_data_params,
        cast(r.connection_id AS varchar) AS conn,
        coalesce(a.account_id, nullif(l.account_id, ''), nullif(l.account_uuid, '')) AS account_key
    FROM listed AS l
    INNER JOIN config.repositories AS r
        ON r.connection_id = l._connection_id AND r.repository_uuid = l._repository_uuid
    LEFT JOIN base.account_ids AS a ON a.connection_id = l._connection_id AND a.uuid = l.account_uuid
    WHERE r.review AND upper(l.role) = 'REVIEWER'
),

once AS (
    SELECT *
    FROM reviewers
    WHERE account_key IS NOT NULL
    QUALIFY row_number() OVER (
            PARTITION BY _connection_id, _repository_uuid, id, account_key
            ORDER BY
                preference, participated_on DESC NULLS LAST, state DESC NULLS LAST,
                CASE WHEN nullif(account_id, '') IS NULL THEN 1 ELSE 0 END
        ) = 1
)

SELECT
    'bitbucket:BitbucketPullRequest:' || conn || ':' || full_name || ':' || cast(id AS varchar) AS pull_request_id,
    'bitbucket:BitbucketAccount:' || conn || ':' || account_key AS reviewer_id,
    coalesce(display_name, '') AS name,
    coalesce(nickname, '') AS user_name,
    raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_pull_requests' AS _raw_data_table,
    coalesce(state, CASE WHEN approved THEN 'approved' END, '') AS state,
    coalesce(approved, FALSE) AS approved,
    participated_on AS participated_date
FROM once
