-- Which accounts belong to which person?
--
-- Grain:  one row per account of the CSV that [org] user_account_mapping names.
-- Source: config.user_account_mapping, base.account_ids.
--
-- Rules:
-- * A row without a user id is an account without a person: left out. Nothing is matched by name or e-mail.
-- * A row may name an account by its uuid: it counts for the account id that belongs to it, unless another row names
--   that one itself.
WITH ids AS (
    SELECT
        concat('bitbucket:BitbucketAccount:', cast(connection_id AS varchar), ':', uuid) AS by_uuid,
        concat('bitbucket:BitbucketAccount:', cast(connection_id AS varchar), ':', account_id) AS by_account
    FROM base.account_ids
)

SELECT
    m.user_id,
    coalesce(i.by_account, m.id) AS account_id,
    '' AS _raw_data_params,
    '' AS _raw_data_table
FROM config.user_account_mapping AS m
LEFT JOIN ids AS i ON i.by_uuid = m.id
WHERE m.user_id <> ''
QUALIFY row_number() OVER (
        PARTITION BY coalesce(i.by_account, m.id) ORDER BY CASE WHEN i.by_account IS NULL THEN 0 ELSE 1 END, m.id
    ) = 1
