-- How did an issue change: which field, from what to what, by whom and when?
--
-- Grain:  one row per changed field of each change (Bitbucket groups the fields that changed at once).
-- Source: bitbucket.issue_changes, base.account_ids, config.repositories, config.issue_statuses, config.issue_types.
--
-- Rules:
-- * field_name and the from/to values use DevLake's names: state is `status` and mapped by the rules, kind is
--   `type` and mapped likewise, account ids become ids of domain.accounts. The other fields are unchanged, and
--   field_id and the original values keep Bitbucket's words.
-- * A state without a rule maps to '', a kind without a rule is kept: as in domain.issues.
-- * A field that is empty before and after did not change and has no row.
-- * An author whose account is gone leaves id and name empty.
--
-- incremental: repository by issue_id

WITH changed_fields AS (
    SELECT
        c._connection_id,
        c._repository_uuid,
        c._issue_id,
        coalesce(cast(c.id AS varchar), c._key) AS change_id,
        c.created_on,
        coalesce(a.account_id, nullif(c."user"['account_id'], ''), nullif(c."user"['uuid'], '')) AS author_key,
        coalesce(c."user"['display_name'], '') AS author_name,
        k.field,
        CASE k.field
            WHEN 'state' THEN c.changes['state']['old']
            WHEN 'kind' THEN c.changes['kind']['old']
            WHEN 'priority' THEN c.changes['priority']['old']
            WHEN 'assignee' THEN c.changes['assignee']['old']
            WHEN 'assignee_account_id' THEN c.changes['assignee_account_id']['old']
            WHEN 'responsible' THEN c.changes['responsible']['old']
            WHEN 'component' THEN c.changes['component']['old']
            WHEN 'milestone' THEN c.changes['milestone']['old']
            WHEN 'version' THEN c.changes['version']['old']
            WHEN 'title' THEN c.changes['title']['old']
            WHEN 'content' THEN c.changes['content']['old']
            WHEN 'attachment' THEN c.changes['attachment']['old']
        END AS old_value,
        CASE k.field
            WHEN 'state' THEN c.changes['state']['new']
            WHEN 'kind' THEN c.changes['kind']['new']
            WHEN 'priority' THEN c.changes['priority']['new']
            WHEN 'assignee' THEN c.changes['assignee']['new']
            WHEN 'assignee_account_id' THEN c.changes['assignee_account_id']['new']
            WHEN 'responsible' THEN c.changes['responsible']['new']
            WHEN 'component' THEN c.changes['component']['new']
            WHEN 'milestone' THEN c.changes['milestone']['new']
            WHEN 'version' THEN c.changes['version']['new']
            WHEN 'title' THEN c.changes['title']['new']
            WHEN 'content' THEN c.changes['content']['new']
            WHEN 'attachment' THEN c.changes['attachment']['new']
        END AS new_value
    FROM bitbucket.issue_changes AS c
    LEFT JOIN base.account_ids AS a ON a.connection_id = c._connection_id AND a.uuid = c."user"['uuid']
    CROSS JOIN (
        VALUES
        ('state'), ('kind'), ('priority'), ('assignee'), ('assignee_account_id'),
        ('responsible'), ('component'), ('milestone'), ('version'), ('title'),
        ('content'), ('attachment')
    ) AS k (field)
),

changes AS (
    SELECT
        s.connection_id,
        s.full_name,
        s.raw_data_params,
        s.rules,
        f._issue_id AS issue_number,
        f.change_id,
        f.created_on,
        f.author_key,
        f.author_name,
        f.field,
        coalesce(f.old_value, '') AS old_value,
        coalesce(f.new_value, '') AS new_value,
        concat('bitbucket:BitbucketAccount:', cast(s.connection_id AS varchar), ':') AS account_prefix
    FROM changed_fields AS f
    INNER JOIN config.repositories AS s
        ON s.connection_id = f._connection_id AND s.repository_uuid = f._repository_uuid
    WHERE s.issues AND (f.old_value <> '' OR f.new_value <> '')
)

SELECT
    concat(
        'bitbucket:BitbucketIssueChange:', cast(c.connection_id AS varchar), ':', c.full_name, ':',
        cast(c.issue_number AS varchar), ':', c.change_id, ':', c.field
    ) AS id,
    concat(
        'bitbucket:BitbucketIssue:',
        cast(c.connection_id AS varchar),
        ':',
        c.full_name,
        ':',
        cast(c.issue_number AS varchar)
    ) AS issue_id,
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
    c.raw_data_params AS _raw_data_params,
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
