-- Which pull requests are there, in which state, and when were they merged or closed?
--
-- Grain:  one row per pull request, before cherry-picks are resolved
-- Source: bitbucket.pull_requests; bitbucket.pull_request_activity for closing times; bitbucket.commits
--         and bitbucket.pull_request_commits for full hashes; base.account_ids for people
--
-- Rules:
-- * Ids contain the repository's current name, so a rename moves every row at once. The source repository of
--   a deleted fork is ''. An author whose account is gone leaves the bare prefix in author_id, as in DevLake.
-- * SUPERSEDED and DECLINED are CLOSED. States that Bitbucket may add are kept as they are.
-- * merged_date and closed_date take the best available time and name it in *_date_source:
--   closed_on, else the activity entry that changed the state, else the merge commit's date (a
--   fast-forward has an old commit there), else updated_on (an upper bound: comments move it).
--   An edit after the merge is an activity entry in state MERGED too: the latest entry that changed
--   the status wins.
-- * merged_by_* is set for merged pull requests only: closed_by also names the account that declined one.
-- * Bitbucket shortens a pull request's hashes to 12 characters. They are completed where exactly one
--   collected commit of the repository has that prefix; *_sha_match has the result.
--
-- incremental: repository
WITH collected AS (
    SELECT
        _connection_id,
        _repository_uuid,
        id,
        type,
        title,
        description,
        state,
        draft,
        reason,
        comment_count,
        task_count,
        created_on,
        updated_on,
        closed_on,
        author['display_name'] AS author_name,
        author['account_id'] AS author_account_id,
        author['uuid'] AS author_uuid,
        closed_by['display_name'] AS closed_by_name,
        closed_by['account_id'] AS closed_by_account_id,
        closed_by['uuid'] AS closed_by_uuid,
        source['repository']['full_name'] AS source_full_name,
        source['repository']['uuid'] AS source_uuid,
        source['branch']['name'] AS head_ref,
        source['commit']['hash'] AS head_hash,
        destination['branch']['name'] AS base_ref,
        destination['commit']['hash'] AS base_hash,
        merge_commit['hash'] AS merge_hash,
        merge_commit['date'] AS merge_commit_date,
        links['html']['href'] AS url
    FROM bitbucket.pull_requests
    WHERE id IS NOT NULL AND id <> 0
),

pull_requests AS (
    SELECT
        p.*,
        r.full_name,
        r.repo_id,
        r.raw_data_params,
        cast(r.connection_id AS varchar) AS conn
    FROM collected AS p
    INNER JOIN config.repositories AS r
        ON r.connection_id = p._connection_id AND r.repository_uuid = p._repository_uuid
    WHERE r.review
),

state_changes AS (
    SELECT
        _connection_id,
        _repository_uuid,
        _pull_request_id,
        upper("update"['state']) AS state,
        coalesce(
            max("update"['date']) FILTER (WHERE "update"['changes']['status']['new'] IS NOT NULL),
            max("update"['date'])
        ) AS changed_on
    FROM bitbucket.pull_request_activity
    WHERE "update"['state'] IS NOT NULL
    GROUP BY _connection_id, _repository_uuid, _pull_request_id, upper("update"['state'])
),

known_hashes AS (
    SELECT
        _connection_id,
        _repository_uuid,
        hash
    FROM bitbucket.commits
    UNION ALL
    SELECT
        _connection_id,
        _repository_uuid,
        hash
    FROM bitbucket.pull_request_commits
),

wanted_hashes AS (
    SELECT
        _connection_id,
        _repository_uuid,
        merge_commit['hash'] AS hash
    FROM bitbucket.pull_requests
    UNION
    SELECT
        _connection_id,
        _repository_uuid,
        destination['commit']['hash'] AS hash
    FROM bitbucket.pull_requests
    UNION
    SELECT
        _connection_id,
        _repository_uuid,
        source['commit']['hash'] AS hash
    FROM bitbucket.pull_requests
),

-- seven characters are git's shortest abbreviation: equality on them finds the few candidates
matched_hashes AS (
    SELECT
        w._connection_id,
        w._repository_uuid,
        w.hash AS short_hash,
        CASE WHEN length(w.hash) < 40 AND min(k.hash) = max(k.hash) THEN min(k.hash) ELSE w.hash END AS sha,
        CASE WHEN length(w.hash) >= 40 THEN 'full'
            WHEN min(k.hash) = max(k.hash) THEN 'prefix'
            WHEN min(k.hash) < max(k.hash) THEN 'ambiguous'
            ELSE 'missing'
        END AS sha_match
    FROM wanted_hashes AS w
    LEFT JOIN known_hashes AS k
        ON k._connection_id = w._connection_id
            AND k._repository_uuid = w._repository_uuid
            AND substr(k.hash, 1, 7) = substr(w.hash, 1, 7)
            AND starts_with(k.hash, w.hash)
    WHERE w.hash IS NOT NULL AND w.hash <> ''
    GROUP BY w._connection_id, w._repository_uuid, w.hash
),

parent_counts AS (
    SELECT
        _connection_id,
        _repository_uuid,
        hash,
        max(coalesce(cast(array_length(parents) AS bigint), 0)) AS parents
    FROM bitbucket.commits
    GROUP BY _connection_id, _repository_uuid, hash
),

current_names AS (
    SELECT
        connection_id,
        repository_uuid,
        full_name
    FROM config.repositories
),

dated AS (
    SELECT
        p.*,
        s.changed_on,
        upper(coalesce(p.state, '')) = 'MERGED' AS is_merged,
        upper(coalesce(p.state, '')) IN ('MERGED', 'DECLINED', 'SUPERSEDED') AS is_closed,
        coalesce(h.full_name, p.source_full_name) AS head_full_name,
        coalesce(a.account_id, nullif(p.author_account_id, ''), nullif(p.author_uuid, '')) AS author_key,
        coalesce(z.account_id, nullif(p.closed_by_account_id, ''), nullif(p.closed_by_uuid, '')) AS closed_by_key
    FROM pull_requests AS p
    LEFT JOIN state_changes AS s
        ON s._connection_id = p._connection_id AND s._repository_uuid = p._repository_uuid
            AND s._pull_request_id = p.id AND s.state = upper(p.state)
    LEFT JOIN current_names AS h
        ON h.connection_id = p._connection_id AND h.repository_uuid = p.source_uuid
    LEFT JOIN base.account_ids AS a ON a.connection_id = p._connection_id AND a.uuid = p.author_uuid
    LEFT JOIN base.account_ids AS z ON z.connection_id = p._connection_id AND z.uuid = p.closed_by_uuid
),

closing AS (
    SELECT
        d.*,
        coalesce(
            d.closed_on, d.changed_on,
            CASE WHEN d.is_merged THEN d.merge_commit_date END, d.updated_on
        ) AS closing_date,
        CASE WHEN d.closed_on IS NOT NULL THEN 'closed_on'
            WHEN d.changed_on IS NOT NULL THEN 'activity'
            WHEN d.is_merged AND d.merge_commit_date IS NOT NULL THEN 'merge_commit'
            WHEN d.updated_on IS NOT NULL THEN 'updated_on'
            ELSE ''
        END AS closing_date_source
    FROM dated AS d
)

SELECT
    'bitbucket:BitbucketPullRequest:' || c.conn || ':' || c.full_name || ':' || cast(c.id AS varchar) AS id,
    c.repo_id AS base_repo_id,
    coalesce('bitbucket:BitbucketRepo:' || c.conn || ':' || c.head_full_name, '') AS head_repo_id,
    CASE WHEN upper(c.state) IN ('DECLINED', 'SUPERSEDED') THEN 'CLOSED' ELSE coalesce(c.state, '') END AS status,
    coalesce(c.state, '') AS original_status,
    coalesce(c.title, '') AS title,
    coalesce(c.description, '') AS description,
    coalesce(c.url, '') AS url,
    coalesce(c.author_name, '') AS author_name,
    concat('bitbucket:BitbucketAccount:', c.conn, ':', coalesce(c.author_key, '')) AS author_id,
    CASE WHEN c.is_merged THEN coalesce(c.closed_by_name, '') ELSE '' END AS merged_by_name,
    CASE WHEN c.is_merged
            THEN coalesce('bitbucket:BitbucketAccount:' || c.conn || ':' || c.closed_by_key, '')
        ELSE ''
    END AS merged_by_id,
    '' AS parent_pr_id,
    c.id AS pull_request_key,
    c.created_on AS created_date,
    CASE WHEN c.is_merged THEN c.closing_date END AS merged_date,
    CASE WHEN c.is_closed THEN c.closing_date END AS closed_date,
    coalesce(c.type, '') AS type,
    '' AS component,
    coalesce(m.sha, c.merge_hash, '') AS merge_commit_sha,
    coalesce(c.head_ref, '') AS head_ref,
    coalesce(c.base_ref, '') AS base_ref,
    coalesce(b.sha, c.base_hash, '') AS base_commit_sha,
    coalesce(h.sha, c.head_hash, '') AS head_commit_sha,
    0 AS additions,
    0 AS deletions,
    coalesce(c.draft, FALSE) AS is_draft,
    c.raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_pull_requests' AS _raw_data_table,
    c.updated_on AS updated_date,
    CASE WHEN c.is_merged THEN c.closing_date_source ELSE '' END AS merged_date_source,
    CASE WHEN c.is_closed THEN c.closing_date_source ELSE '' END AS closed_date_source,
    coalesce(c.comment_count, 0) AS comment_count,
    coalesce(c.task_count, 0) AS task_count,
    coalesce(c.reason, '') AS decline_reason,
    CASE WHEN c.is_closed
            THEN coalesce('bitbucket:BitbucketAccount:' || c.conn || ':' || c.closed_by_key, '')
        ELSE ''
    END AS closed_by_id,
    CASE WHEN NOT c.is_merged OR m.sha IS NULL OR k.hash IS NULL THEN ''
        WHEN m.sha = h.sha THEN 'fast_forward'
        WHEN k.parents > 1 THEN 'merge_commit'
        ELSE 'squash_or_rebase'
    END AS merge_kind,
    coalesce(c.merge_hash, '') AS original_merge_commit_sha,
    coalesce(c.base_hash, '') AS original_base_commit_sha,
    coalesce(c.head_hash, '') AS original_head_commit_sha,
    coalesce(m.sha_match, '') AS merge_commit_sha_match,
    coalesce(b.sha_match, '') AS base_commit_sha_match,
    coalesce(h.sha_match, '') AS head_commit_sha_match,
    cast(NULL AS bigint) AS own_commits,
    cast(NULL AS timestamp) AS first_own_commit_date,
    cast(NULL AS varchar) AS promotion_evidence
FROM closing AS c
LEFT JOIN matched_hashes AS m
    ON m._connection_id = c._connection_id AND m._repository_uuid = c._repository_uuid AND m.short_hash = c.merge_hash
LEFT JOIN matched_hashes AS b
    ON b._connection_id = c._connection_id AND b._repository_uuid = c._repository_uuid AND b.short_hash = c.base_hash
LEFT JOIN matched_hashes AS h
    ON h._connection_id = c._connection_id AND h._repository_uuid = c._repository_uuid AND h.short_hash = c.head_hash
LEFT JOIN parent_counts AS k
    ON k._connection_id = c._connection_id AND k._repository_uuid = c._repository_uuid AND k.hash = m.sha
