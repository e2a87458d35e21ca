-- How did an issue change: which field, from what to what, by whom and when?
--
-- Grain:  one row per changed field of each change (Bitbucket groups the fields that changed at once).
-- Source: bitbucket.issue_changes, config.repositories, config.issue_statuses, config.issue_types.
--
-- Rules:
-- * field_name and the from/to values speak DevLake's language: state is `status` and mapped by the rules, kind is
--   `type` and mapped likewise, account ids become ids of domain.accounts. The other fields pass unchanged, and
--   field_id and the original values keep Bitbucket's words.
-- * A state without a rule maps to '', a kind without a rule stays as it is: as in domain.issues.
-- * A field that is empty before and after did not change and has no row.
-- * An author whose account is gone leaves id and name empty.

WITH changed_fields AS (
    SELECT
        c._connection_id,
        c._repository_uuid,
        c._issue_id,
        coalesce(cast(c.id AS varchar), c._key) AS change_id,
        c.created_on,
        coalesce(nullif(c."user"['account_id'], ''), nullif(c."user"['uuid'], '')) AS author_key,
        coalesce(c."user"['display_name'], '') AS author_name,
        unnest([
            {'field': 'state',
                'old': coalesce(c.changes['state']['old'], ''), 'new': coalesce(c.changes['state']['new'], '')},
            {'field': 'kind',
                'old': coalesce(c.changes['kind']['old'], ''), 'new': coalesce(c.changes['kind']['new'], '')},
            {'field': 'priority',
                'old': coalesce(c.changes['priority']['old'], ''), 'new': coalesce(c.changes['priority']['new'], '')},
            {'field': 'assignee',
                'old': coalesce(c.changes['assignee']['old'], ''), 'new': coalesce(c.changes['assignee']['new'], '')},
            {'field': 'assignee_account_id',
                'old': coalesce(c.changes['assignee_account_id']['old'], ''),
                'new': coalesce(c.changes['assignee_account_id']['new'], '')},
            {'field': 'responsible',
                'old': coalesce(c.changes['responsible']['old'], ''), 'new': coalesce(c.changes['responsible']['new'], '')},
            {'field': 'component',
                'old': coalesce(c.changes['component']['old'], ''), 'new': coalesce(c.changes['component']['new'], '')},
            {'field': 'milestone',
                'old': coalesce(c.changes['milestone']['old'], ''), 'new': coalesce(c.changes['milestone']['new'], '')},
            {'field': 'version',
                'old': coalesce(c.changes['version']['old'], ''), 'new': coalesce(c.changes['version']['new'], '')},
            {'field': 'title',
                'old': coalesce(c.changes['title']['old'], ''), 'new': coalesce(c.changes['title']['new'], '')},
            {'field': 'content',
                'old': coalesce(c.changes['content']['old'], ''), 'new': coalesce(c.changes['content']['new'], '')},
            {'field': 'attachment',
                'old': coalesce(c.changes['attachment']['old'], ''), 'new': coalesce(c.changes['attachment']['new'], '')}
        ]) AS change
    FROM bitbucket.issue_changes AS c
),

changes AS (
    SELECT
        s.connection_id,
        s.full_name,
        s.rules,
        f._issue_id AS issue_number,
        f.change_id,
        f.created_on,
        f.author_key,
        f.author_name,
        f.change['field'] AS field,
        f.change['old'] AS old_value,
        f.change['new'] AS new_value,
        concat('bitbucket:BitbucketAccount:', cast(s.connection_id AS varchar), ':') AS account_prefix
    FROM changed_fields AS f
    JOIN config.repositories AS s
        ON s.connection_id = f._connection_id AND s.repository_uuid = f._repository_uuid
    WHERE s.issues AND (f.change['old'] <> '' OR f.change['new'] <> '')
)

SELECT
    concat(
        'bitbucket:BitbucketIssueChange:', cast(c.connection_id AS varchar), ':', c.full_name, ':',
        cast(c.issue_number AS varchar), ':', c.change_id, ':', c.field
    ) AS id,
    concat('bitbucket:BitbucketIssue:', cast(c.connection_id AS varchar), ':', c.full_name, ':', cast(c.issue_number AS varchar)) AS issue_id,
    coalesce(c.account_prefix || c.author_key, '') AS author_id,
    c.author_name,
    c.field AS field_id,
    CASE c.field WHEN 'state' THEN 'status' WHEN 'kind' THEN 'type' ELSE c.field END AS field_name,
    c.old_value AS original_from_value,
    c.new_value AS original_to_value,
    CASE
        WHEN c.field = 'state' THEN coalesce(old_status.status, '')
        WHEN c.field = 'kind' THEN coalesce(old_type.type, c.old_value)
        WHEN c.field = 'assignee_account_id' AND c.old_value <> '' THEN c.account_prefix || c.old_value
        ELSE c.old_value
    END AS from_value,
    CASE
        WHEN c.field = 'state' THEN coalesce(new_status.status, '')
        WHEN c.field = 'kind' THEN coalesce(new_type.type, c.new_value)
        WHEN c.field = 'assignee_account_id' AND c.new_value <> '' THEN c.account_prefix || c.new_value
        ELSE c.new_value
    END AS to_value,
    c.created_on AS created_date,
    concat('{"ConnectionId":', cast(c.connection_id AS varchar), ',"FullName":"', c.full_name, '"}') AS _raw_data_params,
    '_raw_bitbucket_api_issue_changes' AS _raw_data_table
FROM changes AS c
LEFT JOIN config.issue_statuses AS old_status
    ON old_status.rules = c.rules AND old_status.original_status = c.old_value
LEFT JOIN config.issue_statuses AS new_status
    ON new_status.rules = c.rules AND new_status.original_status = c.new_value
LEFT JOIN config.issue_types AS old_type
    ON old_type.rules = c.rules AND old_type.original_type = c.old_value
LEFT JOIN config.issue_types AS new_type
    ON new_type.rules = c.rules AND new_type.original_type = c.new_value
