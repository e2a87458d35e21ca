-- Which comments and decisions does a review have?
--
-- Grain:  one row per comment, approval or request for changes
-- Source: bitbucket.pull_request_comments; bitbucket.pull_request_activity for approvals, change
--         requests, and comments that the comments endpoint did not deliver; base.account_ids for people
--
-- Rules:
-- * type is NORMAL, DIFF (attached to a file) or REVIEW (DevLake has `pullrequest_comment` for all).
-- * REVIEW rows are made from activity, so that an approval counts as a review with its time; status is
--   APPROVED or CHANGES_REQUESTED. Bitbucket does not record that an approval was withdrawn.
-- * Deleted comments and unpublished drafts are left out. Comments of the activity count only for pull requests
--   of which no comment was collected: the entry of a removed comment is still there.
-- * An author whose account is gone leaves the bare prefix in account_id, as in DevLake.
--
-- incremental: repository by _raw_data_params
WITH listed AS (
    SELECT
        1 AS preference,
        _connection_id,
        _repository_uuid,
        _pull_request_id,
        _key,
        id,
        created_on,
        updated_on,
        content['raw'] AS body,
        "user"['account_id'] AS account_id,
        "user"['uuid'] AS account_uuid,
        deleted,
        pending,
        parent['id'] AS parent_id,
        inline['path'] AS path,
        coalesce(inline['to'], inline['from']) AS line,
        resolution['created_on'] AS resolved_on,
        links['html']['href'] AS url,
        '_raw_bitbucket_api_pull_request_comments' AS raw_data_table
    FROM bitbucket.pull_request_comments
    UNION ALL
    SELECT
        2 AS preference,
        _connection_id,
        _repository_uuid,
        _pull_request_id,
        _key,
        comment['id'] AS id,
        comment['created_on'] AS created_on,
        comment['updated_on'] AS updated_on,
        comment['content']['raw'] AS body,
        comment['user']['account_id'] AS account_id,
        comment['user']['uuid'] AS account_uuid,
        comment['deleted'] AS deleted,
        comment['pending'] AS pending,
        comment['parent']['id'] AS parent_id,
        comment['inline']['path'] AS path,
        coalesce(comment['inline']['to'], comment['inline']['from']) AS line,
        comment['resolution']['created_on'] AS resolved_on,
        comment['links']['html']['href'] AS url,
        '_raw_bitbucket_api_pull_request_activity' AS raw_data_table
    FROM bitbucket.pull_request_activity AS a
    WHERE comment['id'] IS NOT NULL
        AND NOT EXISTS (
            SELECT 1
            FROM bitbucket.pull_request_comments AS c
            WHERE c._connection_id = a._connection_id AND c._repository_uuid = a._repository_uuid
                AND c._pull_request_id = a._pull_request_id
        )
),

once AS (
    SELECT *
    FROM listed
    WHERE id IS NOT NULL
    QUALIFY row_number() OVER (
            PARTITION BY _connection_id, id
            ORDER BY preference, updated_on DESC NULLS LAST, _repository_uuid, _key
        ) = 1
),

reviews AS (
    SELECT
        _connection_id,
        _repository_uuid,
        _pull_request_id,
        _key,
        'APPROVED' AS status,
        approval['date'] AS reviewed_on,
        approval['user']['account_id'] AS account_id,
        approval['user']['uuid'] AS account_uuid
    FROM bitbucket.pull_request_activity
    WHERE approval['date'] IS NOT NULL
    UNION ALL
    SELECT
        _connection_id,
        _repository_uuid,
        _pull_request_id,
        _key,
        'CHANGES_REQUESTED' AS status,
        changes_requested['date'] AS reviewed_on,
        changes_requested['user']['account_id'] AS account_id,
        changes_requested['user']['uuid'] AS account_uuid
    FROM bitbucket.pull_request_activity
    WHERE changes_requested['date'] IS NOT NULL
),

rows_of_both AS (
    SELECT
        _connection_id,
        _repository_uuid,
        _pull_request_id,
        _key,
        raw_data_table,
        id AS comment_id,
        coalesce(body, '') AS body,
        account_id,
        account_uuid,
        created_on,
        updated_on,
        CASE WHEN path IS NOT NULL THEN 'DIFF' ELSE 'NORMAL' END AS type,
        '' AS status,
        coalesce(path, '') AS path,
        line,
        parent_id,
        resolved_on,
        coalesce(url, '') AS url
    FROM once
    WHERE NOT coalesce(deleted, FALSE) AND NOT coalesce(pending, FALSE)
    UNION ALL
    SELECT
        _connection_id,
        _repository_uuid,
        _pull_request_id,
        _key,
        '_raw_bitbucket_api_pull_request_activity' AS raw_data_table,
        NULL AS comment_id,
        '' AS body,
        account_id,
        account_uuid,
        reviewed_on AS created_on,
        reviewed_on AS updated_on,
        'REVIEW' AS type,
        status,
        '' AS path,
        NULL AS line,
        NULL AS parent_id,
        NULL AS resolved_on,
        '' AS url
    FROM reviews
)

SELECT
    CASE WHEN b.comment_id IS NOT NULL
            THEN 'bitbucket:BitbucketPrComment:'
                || cast(r.connection_id AS varchar)
                || ':'
                || cast(b.comment_id AS varchar)
        ELSE 'bitbucket:BitbucketPrActivity:' || cast(r.connection_id AS varchar) || ':' || r.full_name || ':' || b._key
    END AS id,
    'bitbucket:BitbucketPullRequest:' || cast(r.connection_id AS varchar) || ':' || r.full_name || ':'
    || cast(b._pull_request_id AS varchar) AS pull_request_id,
    b.body,
    concat(
        'bitbucket:BitbucketAccount:', cast(r.connection_id AS varchar), ':',
        coalesce(a.account_id, nullif(b.account_id, ''), b.account_uuid, '')
    ) AS account_id,
    b.created_on AS created_date,
    '' AS commit_sha,
    b.type,
    '' AS review_id,
    b.status,
    r.raw_data_params AS _raw_data_params,
    b.raw_data_table AS _raw_data_table,
    b.updated_on AS updated_date,
    b.path,
    b.line,
    coalesce(
        'bitbucket:BitbucketPrComment:' || cast(r.connection_id AS varchar) || ':' || cast(b.parent_id AS varchar), ''
    )
        AS parent_comment_id,
    b.resolved_on AS resolved_date,
    b.url
FROM rows_of_both AS b
INNER JOIN config.repositories AS r
    ON r.connection_id = b._connection_id AND r.repository_uuid = b._repository_uuid
LEFT JOIN base.account_ids AS a ON a.connection_id = b._connection_id AND a.uuid = b.account_uuid
WHERE r.review
