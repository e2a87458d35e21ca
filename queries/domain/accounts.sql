-- Who takes part in the exported work?
--
-- Grain:  one row per Bitbucket account and connection.
-- Source: base.account_records, base.account_ids, config.repositories.
--
-- Rules:
-- * The key is the account id that any record of the connection gives the account's uuid (base.account_ids), else the
--   record's own, else the uuid: apps and workspaces have no account id, and would otherwise all share one key.
-- * Records differ in the properties of an account that they contain, and a nickname changes. Each column is the newest
--   value that is not empty: the members' list first (it is current), then by the time of the record, then by the value
--   itself, so that the choice does not depend on the order of rows.
-- * Only appearances in repositories that export accounts and the entity itself count, each under its own connection.
-- * user_name is the nickname; a username exists in old records only.
-- * _raw_data_table and _raw_data_params name one place of the account: the one that DevLake reads last, else the first
--   by name. An account that is a member and nothing else has no repository there.

WITH described AS (
    SELECT
        CASE r.place
            WHEN 'issue_comments' THEN 1
            WHEN 'issues' THEN 2
            WHEN 'pull_request_comments' THEN 3
            WHEN 'pull_requests' THEN 4
            ELSE 5
        END AS rank,
        s.full_name,
        FALSE AS is_member,
        r.*
    FROM base.account_records AS r
    INNER JOIN config.repositories AS s
        ON s.connection_id = r.connection_id AND s.repository_uuid = r.repository_uuid
    WHERE s.accounts
        AND r.place <> 'workspace_members'
        AND CASE
            WHEN r.place IN ('issues', 'issue_comments', 'issue_changes') THEN s.issues
            WHEN r.place IN ('commits', 'branches', 'tags') THEN s.code
            WHEN r.place = 'pipelines' THEN s.cicd
            WHEN r.place = 'repositories' THEN TRUE
            ELSE s.review
        END
    UNION ALL
    SELECT
        6 AS rank,
        '' AS full_name,
        TRUE AS is_member,
        r.*
    FROM base.account_records AS r
    WHERE r.place = 'workspace_members'
        AND EXISTS (
            SELECT 1
            FROM config.repositories AS s
            WHERE s.accounts AND s.connection_id = r.connection_id AND s.workspace = r.workspace
        )
),

wordings AS (
    SELECT
        d.*,
        coalesce(k.account_id, d.account_id, d.uuid) AS account_key
    FROM described AS d
    LEFT JOIN base.account_ids AS k ON k.connection_id = d.connection_id AND k.uuid = d.uuid
),

merged AS (
    SELECT
        connection_id,
        account_key,
        (array_agg(
            account_type ORDER BY
                is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
                avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
                full_name NULLS FIRST
        ) FILTER (WHERE account_type IS NOT NULL))[1] AS account_type,
        (array_agg(
            uuid ORDER BY
                is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
                avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
                full_name NULLS FIRST
        ) FILTER (WHERE uuid IS NOT NULL))[1] AS uuid,
        (array_agg(
            display_name ORDER BY
                is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
                avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
                full_name NULLS FIRST
        ) FILTER (WHERE display_name IS NOT NULL))[1] AS display_name,
        (array_agg(
            user_name ORDER BY
                is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
                avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
                full_name NULLS FIRST
        ) FILTER (WHERE user_name IS NOT NULL))[1] AS user_name,
        (array_agg(
            avatar_url ORDER BY
                is_member DESC NULLS LAST, seen_at DESC NULLS LAST, display_name NULLS FIRST, user_name NULLS FIRST,
                avatar_url NULLS FIRST, uuid NULLS FIRST, account_type NULLS FIRST, rank NULLS FIRST, place NULLS FIRST,
                full_name NULLS FIRST
        ) FILTER (WHERE avatar_url IS NOT NULL))[1] AS avatar_url
    FROM wordings
    GROUP BY connection_id, account_key
),

origins AS (
    SELECT
        connection_id,
        account_key,
        place,
        full_name
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
    concat('{"ConnectionId":', cast(m.connection_id AS varchar), ',"FullName":"', o.full_name, '"}')
        AS _raw_data_params,
    concat('_raw_bitbucket_api_', o.place) AS _raw_data_table,
    coalesce(m.account_type, '') AS account_type,
    coalesce(m.uuid, '') AS uuid,
    coalesce(m.account_type, '') = 'app_user'
    OR regexp_like(coalesce(m.user_name, ''), '(?i)([-_]bot|\[bot\])$|^(dependabot|renovate)')
    OR regexp_like(coalesce(m.display_name, ''), '(?i)([-_]bot|\[bot\])$|^(dependabot|renovate)') AS is_bot
FROM merged AS m
INNER JOIN origins AS o ON o.connection_id = m.connection_id AND o.account_key = m.account_key
