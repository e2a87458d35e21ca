-- Which properties of an account does each record contain?
--
-- Grain:  one row per connection, repository (workspace for its members), kind of record and set of values
-- Source: every table of the bitbucket layer in which an account appears
--
-- Rules:
-- * An account appears many times with the same values: each set of values is kept once, with its newest time.
-- * workspace is set for the members of a workspace, which belong to no repository.
--
-- incremental: repository by repository_uuid
-- stored
WITH appearances AS (
    SELECT
        'issue_comments' AS place,
        _connection_id,
        _repository_uuid,
        created_on AS seen_at,
        "user" AS account
    FROM bitbucket.issue_comments
    UNION ALL
    SELECT
        'issues',
        _connection_id,
        _repository_uuid,
        updated_on,
        reporter
    FROM bitbucket.issues
    UNION ALL
    SELECT
        'issues',
        _connection_id,
        _repository_uuid,
        updated_on,
        assignee
    FROM bitbucket.issues
    UNION ALL
    SELECT
        'pull_request_comments',
        _connection_id,
        _repository_uuid,
        created_on,
        "user"
    FROM bitbucket.pull_request_comments
    UNION ALL
    SELECT
        'pull_request_comments',
        _connection_id,
        _repository_uuid,
        resolution['created_on'],
        resolution['user']
    FROM bitbucket.pull_request_comments
    UNION ALL
    SELECT
        'pull_requests',
        _connection_id,
        _repository_uuid,
        updated_on,
        author
    FROM bitbucket.pull_requests
    UNION ALL
    SELECT
        'pull_requests',
        _connection_id,
        _repository_uuid,
        updated_on,
        closed_by
    FROM bitbucket.pull_requests
    UNION ALL
    SELECT
        'pull_requests',
        _connection_id,
        _repository_uuid,
        seen_at,
        item['user']
    FROM (
        SELECT
            _connection_id,
            _repository_uuid,
            updated_on AS seen_at,
            unnest(participants) AS item
        FROM bitbucket.pull_requests
    )
    UNION ALL
    SELECT
        'pull_requests',
        _connection_id,
        _repository_uuid,
        seen_at,
        item
    FROM (
        SELECT
            _connection_id,
            _repository_uuid,
            updated_on AS seen_at,
            unnest(reviewers) AS item
        FROM bitbucket.pull_requests
    )
    UNION ALL
    SELECT
        'pull_request_activity',
        _connection_id,
        _repository_uuid,
        "update"['date'],
        "update"['author']
    FROM bitbucket.pull_request_activity
    UNION ALL
    SELECT
        'pull_request_activity',
        _connection_id,
        _repository_uuid,
        approval['date'],
        approval['user']
    FROM bitbucket.pull_request_activity
    UNION ALL
    SELECT
        'pull_request_activity',
        _connection_id,
        _repository_uuid,
        changes_requested['date'],
        changes_requested['user']
    FROM bitbucket.pull_request_activity
    UNION ALL
    SELECT
        'pull_request_activity',
        _connection_id,
        _repository_uuid,
        "comment"['created_on'],
        "comment"['user']
    FROM bitbucket.pull_request_activity
    UNION ALL
    SELECT
        'pull_request_activity',
        _connection_id,
        _repository_uuid,
        seen_at,
        item
    FROM (
        SELECT
            _connection_id,
            _repository_uuid,
            "update"['date'] AS seen_at,
            unnest("update"['reviewers']) AS item
        FROM bitbucket.pull_request_activity
    )
    UNION ALL
    SELECT
        'pull_request_commits',
        _connection_id,
        _repository_uuid,
        "date",
        author['user']
    FROM bitbucket.pull_request_commits
    UNION ALL
    SELECT
        'pull_request_commits',
        _connection_id,
        _repository_uuid,
        "date",
        committer['user']
    FROM bitbucket.pull_request_commits
    UNION ALL
    SELECT
        'issue_changes',
        _connection_id,
        _repository_uuid,
        created_on,
        "user"
    FROM bitbucket.issue_changes
    UNION ALL
    SELECT
        'pipelines',
        _connection_id,
        _repository_uuid,
        created_on,
        creator
    FROM bitbucket.pipelines
    UNION ALL
    SELECT
        'pipelines',
        _connection_id,
        _repository_uuid,
        completed_on,
        state['result']['terminator']
    FROM bitbucket.pipelines
    UNION ALL
    SELECT
        'commits',
        _connection_id,
        _repository_uuid,
        "date",
        author['user']
    FROM bitbucket.commits
    UNION ALL
    SELECT
        'commits',
        _connection_id,
        _repository_uuid,
        "date",
        committer['user']
    FROM bitbucket.commits
    UNION ALL
    SELECT
        'tags',
        _connection_id,
        _repository_uuid,
        "date",
        tagger['user']
    FROM bitbucket.tags
    UNION ALL
    SELECT
        'tags',
        _connection_id,
        _repository_uuid,
        target['date'],
        target['author']['user']
    FROM bitbucket.tags
    UNION ALL
    SELECT
        'tags',
        _connection_id,
        _repository_uuid,
        target['date'],
        target['committer']['user']
    FROM bitbucket.tags
    UNION ALL
    SELECT
        'branches',
        _connection_id,
        _repository_uuid,
        target['date'],
        target['author']['user']
    FROM bitbucket.branches
    UNION ALL
    SELECT
        'branches',
        _connection_id,
        _repository_uuid,
        target['date'],
        target['committer']['user']
    FROM bitbucket.branches
    UNION ALL
    SELECT
        'repositories',
        _connection_id,
        _repository_uuid,
        updated_on,
        owner
    FROM bitbucket.repositories
)

SELECT
    place,
    _connection_id AS connection_id,
    _repository_uuid AS repository_uuid,
    '' AS workspace,
    nullif(account['account_id'], '') AS account_id,
    nullif(account['uuid'], '') AS uuid,
    nullif(account['type'], '') AS account_type,
    nullif(account['display_name'], '') AS display_name,
    coalesce(nullif(account['nickname'], ''), nullif(account['username'], '')) AS user_name,
    nullif(account['links']['avatar']['href'], '') AS avatar_url,
    max(seen_at) AS seen_at
FROM appearances
WHERE coalesce(nullif(account['account_id'], ''), nullif(account['uuid'], '')) IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
UNION ALL
SELECT
    'workspace_members' AS place,
    _connection_id AS connection_id,
    '' AS repository_uuid,
    _workspace AS workspace,
    nullif("user"['account_id'], '') AS account_id,
    nullif("user"['uuid'], '') AS uuid,
    nullif("user"['type'], '') AS account_type,
    nullif("user"['display_name'], '') AS display_name,
    coalesce(nullif("user"['nickname'], ''), nullif("user"['username'], '')) AS user_name,
    nullif("user"['links']['avatar']['href'], '') AS avatar_url,
    added_on AS seen_at
FROM bitbucket.workspace_members
WHERE coalesce(nullif("user"['account_id'], ''), nullif("user"['uuid'], '')) IS NOT NULL
