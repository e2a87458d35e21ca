-- Which account id belongs to a uuid?
--
-- Grain:  one row per connection and uuid that any of its records names with an account id
-- Source: base.account_records
--
-- Rules:
-- * A record with only the uuid and a record with both belong to one account, regardless of the lists that the rules
--   export. The id of an account contains this account_id, else the record's own, else the uuid.
-- * If a uuid has several account ids, the one seen last counts, then the greatest.
--
-- stored
SELECT
    connection_id,
    uuid,
    account_id
FROM base.account_records
WHERE uuid IS NOT NULL AND account_id IS NOT NULL
QUALIFY row_number() OVER (
        PARTITION BY connection_id, uuid ORDER BY seen_at DESC NULLS LAST, account_id DESC
    ) = 1
