-- Which comments does an issue have?
--
-- Grain:  one row per issue comment.
-- Source: bitbucket.issue_comments, base.account_ids, config.repositories.
--
-- Rules:
-- * The issue is the one whose comments were requested, in its own repository. Issue numbers repeat from repository to
--   repository, so a join on the number alone would put comments under other repositories' issues.
-- * A comment that only accompanies a change of state has no text: its body is ''.
-- * An author whose account is gone leaves the bare prefix in account_id, as in DevLake.
--
-- incremental: repository by issue_id

SELECT
    concat('bitbucket:BitbucketIssueComment:', cast(s.connection_id AS varchar), ':', cast(c.id AS varchar)) AS id,
    concat(
        'bitbucket:BitbucketIssue:',
        cast(s.connection_id AS varchar),
        ':',
        s.full_name,
        ':',
        cast(c._issue_id AS varchar)
    ) AS issue_id,
    coalesce(c.content['raw'], '') AS body,
    concat(
        'bitbucket:BitbucketAccount:', cast(s.connection_id AS varchar), ':',
        coalesce(a.account_id, nullif(c."user"['account_id'], ''), c."user"['uuid'], '')
    ) AS account_id,
    c.created_on AS created_date,
    c.updated_on AS updated_date,
    s.raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_issue_comments' AS _raw_data_table,
    coalesce(c.links['html']['href'], '') AS url
FROM bitbucket.issue_comments AS c
INNER JOIN config.repositories AS s
    ON s.connection_id = c._connection_id AND s.repository_uuid = c._repository_uuid
LEFT JOIN base.account_ids AS a ON a.connection_id = c._connection_id AND a.uuid = c."user"['uuid']
WHERE s.issues AND c.id IS NOT NULL
