-- Which issues are there, in which state, and when were they resolved?
--
-- Grain:  one row per Bitbucket issue.
-- Source: bitbucket.issues, bitbucket.issue_changes, base.account_ids, config.repositories, config.issue_statuses,
--         config.issue_types.
--
-- Rules:
-- * status and type come from the repository's rules. A state without a rule has the status '', as in DevLake; a kind
--   without a rule is kept. Bitbucket's own words are in original_status and original_type.
-- * resolution_date exists for DONE issues only. It is the issue's last change of state when that change made it DONE;
--   an earlier one does not count, because the issue was opened again since. Without such a change (they may be older
--   than the export, or the issue was made in that state) it is updated_on: an upper bound.
-- * lead_time_minutes counts whole minutes, not a started minute.
-- * component is the name inside Bitbucket's object. url is the web page (DevLake gives the API's address).
-- * A reporter or assignee whose account is gone leaves id and name empty.
--
-- incremental: repository by id

WITH selected AS (
    SELECT
        connection_id,
        repository_uuid,
        full_name,
        raw_data_params,
        rules
    FROM config.repositories
    WHERE issues
),

last_state_changes AS (
    SELECT
        c._connection_id,
        c._repository_uuid,
        c._issue_id,
        c.created_on AS changed_on,
        c.changes['state']['new'] AS original_status
    FROM bitbucket.issue_changes AS c
    WHERE c.changes['state']['new'] <> ''
    QUALIFY row_number() OVER (
            PARTITION BY c._connection_id, c._repository_uuid, c._issue_id
            ORDER BY c.created_on DESC NULLS LAST, c.id DESC NULLS LAST, c._key DESC
        ) = 1
),

ruled AS (
    SELECT
        s.connection_id,
        s.full_name,
        s.raw_data_params,
        i.* EXCLUDE (_connection_id, _workspace, _repository, _repository_uuid, _key, _payload),
        coalesce(now.status, '') AS status,
        coalesce(kinds.type, i.kind, '') AS mapped_type,
        CASE WHEN changed.status = 'DONE' THEN l.changed_on END AS done_on,
        coalesce(r.account_id, nullif(i.reporter['account_id'], ''), nullif(i.reporter['uuid'], '')) AS reporter_key,
        coalesce(a.account_id, nullif(i.assignee['account_id'], ''), nullif(i.assignee['uuid'], '')) AS assignee_key
    FROM bitbucket.issues AS i
    INNER JOIN selected AS s
        ON s.connection_id = i._connection_id AND s.repository_uuid = i._repository_uuid
    LEFT JOIN config.issue_statuses AS now
        ON now.rules = s.rules AND now.original_status = i.state
    LEFT JOIN config.issue_types AS kinds
        ON kinds.rules = s.rules AND kinds.original_type = i.kind
    LEFT JOIN last_state_changes AS l
        ON l._connection_id = i._connection_id AND l._repository_uuid = i._repository_uuid AND l._issue_id = i.id
    LEFT JOIN config.issue_statuses AS changed
        ON changed.rules = s.rules AND changed.original_status = l.original_status
    LEFT JOIN base.account_ids AS r ON r.connection_id = i._connection_id AND r.uuid = i.reporter['uuid']
    LEFT JOIN base.account_ids AS a ON a.connection_id = i._connection_id AND a.uuid = i.assignee['uuid']
    WHERE i.id <> 0 AND coalesce(i.type, 'issue') = 'issue'
),

resolved AS (
    SELECT
        *,
        CASE WHEN status = 'DONE' THEN coalesce(done_on, updated_on) END AS resolution_date,
        CASE
            WHEN status <> 'DONE' THEN ''
            WHEN done_on IS NOT NULL THEN 'changes'
            WHEN updated_on IS NOT NULL THEN 'updated_on'
            ELSE ''
        END AS resolution_source,
        concat('bitbucket:BitbucketAccount:', cast(connection_id AS varchar), ':') AS account_prefix
    FROM ruled
)

SELECT
    concat('bitbucket:BitbucketIssue:', cast(connection_id AS varchar), ':', full_name, ':', cast(id AS varchar)) AS id,
    coalesce(links['html']['href'], links['self']['href'], '') AS url,
    '' AS icon_url,
    cast(id AS varchar) AS issue_key,
    coalesce(title, '') AS title,
    coalesce(content['raw'], '') AS description,
    '' AS epic_key,
    mapped_type AS type,
    coalesce(kind, '') AS original_type,
    status,
    coalesce(state, '') AS original_status,
    cast(NULL AS double) AS story_point,
    resolution_date,
    created_on AS created_date,
    updated_on AS updated_date,
    CASE WHEN resolution_date >= created_on
            THEN cast(floor((extract(EPOCH FROM resolution_date) - extract(EPOCH FROM created_on)) / 60) AS bigint)
    END AS lead_time_minutes,
    cast(NULL AS bigint) AS original_estimate_minutes,
    cast(NULL AS bigint) AS time_spent_minutes,
    cast(NULL AS bigint) AS time_remaining_minutes,
    coalesce(account_prefix || reporter_key, '') AS creator_id,
    coalesce(reporter['display_name'], '') AS creator_name,
    coalesce(account_prefix || assignee_key, '') AS assignee_id,
    coalesce(assignee['display_name'], '') AS assignee_name,
    '' AS parent_issue_id,
    coalesce(priority, '') AS priority,
    '' AS severity,
    '' AS urgency,
    coalesce(component['name'], '') AS component,
    '' AS original_project,
    FALSE AS is_subtask,
    cast(NULL AS timestamp) AS due_date,
    '' AS fix_versions,
    raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_issues' AS _raw_data_table,
    resolution_source,
    coalesce(milestone['name'], '') AS milestone,
    coalesce(version['name'], '') AS version,
    votes,
    watches,
    edited_on AS edited_date
FROM resolved
