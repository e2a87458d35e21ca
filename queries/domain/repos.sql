-- Which repositories are exported, and which properties do they have?
--
-- Grain:  one row per repository of config.repositories whose code, reviews or accounts are exported.
-- Source: config.repositories, bitbucket.repositories, base.account_ids.
--
-- Rules:
-- * The id follows the present name in config.repositories, so a rename changes every id in one publish; uuid does not
--   change.
-- * A selected repository has a row even before its record was collected: other tables point at it.
-- * deleted is true if two runs a day apart found it neither in its listing nor by its uuid; its rows are kept.
-- * name is workspace/slug; owner_id and forked_from are empty, as in DevLake. Bitbucket's values for both are
--   in the columns at the end.
--
-- incremental: repository by id

WITH selected AS (
    SELECT
        connection_id,
        repository_uuid,
        full_name,
        coalesce(deleted, FALSE) AS deleted,
        repo_id,
        raw_data_params
    FROM config.repositories
    WHERE code OR review OR accounts
)

SELECT
    s.repo_id AS id,
    s.full_name AS name,
    coalesce(r.links['html']['href'], '') AS url,
    coalesce(r.description, '') AS description,
    '' AS owner_id,
    coalesce(r.language, '') AS language,
    '' AS forked_from,
    r.created_on AS created_date,
    r.updated_on AS updated_date,
    s.deleted,
    s.raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_repositories' AS _raw_data_table,
    s.repository_uuid AS uuid,
    coalesce(r.project['key'], '') AS project_key,
    coalesce(r.project['name'], '') AS project_name,
    coalesce(
        concat('bitbucket:BitbucketAccount:', cast(s.connection_id AS varchar), ':')
        || coalesce(a.account_id, nullif(r.owner['account_id'], ''), nullif(r.owner['uuid'], '')),
        ''
    ) AS owner_account_id,
    coalesce(r.parent['full_name'], '') AS parent_full_name,
    coalesce(r.mainbranch['name'], '') AS main_branch,
    r.is_private AS is_private,
    r.size AS size_bytes
FROM selected AS s
LEFT JOIN bitbucket.repositories AS r
    ON r._connection_id = s.connection_id AND r._repository_uuid = s.repository_uuid
LEFT JOIN base.account_ids AS a ON a.connection_id = s.connection_id AND a.uuid = r.owner['uuid']
