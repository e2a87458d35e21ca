-- Which account id belongs to a uuid?
--
-- Grain:  one row per connection and uuid that any of its records names together with an account id
-- Source: base.account_records
--
-- Rules:
-- * A record that knows only the uuid and one that knows both are about one account, whatever the rules export of
--   either. An id of an account is made of this account_id, else of the record's own, else of the uuid.
-- * Should a uuid have had several, the one seen last counts, then the greatest.
SELECT
    connection_id,
    uuid,
    account_id
FROM base.account_records
WHERE uuid IS NOT NULL AND account_id IS NOT NULL
QUALIFY row_number() OVER (
        PARTITION BY connection_id, uuid ORDER BY seen_at DESC NULLS LAST, account_id DESC
    ) = 1
