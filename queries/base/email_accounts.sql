-- Which account has an e-mail address?
--
-- Grain:  one row per connection and e-mail whose commits name one account
-- Source: base.commit_authors; base.account_ids for people
--
-- Rules:
-- * An e-mail of several accounts has no row.
--
-- stored
WITH accounts AS (
    SELECT
        c.connection_id,
        c.email,
        coalesce(a.account_id, c.account_id, c.uuid) AS account
    FROM base.commit_authors AS c
    LEFT JOIN base.account_ids AS a ON a.connection_id = c.connection_id AND a.uuid = c.uuid
)

SELECT
    connection_id,
    email,
    min(account) AS account
FROM accounts AS k
GROUP BY connection_id, email
HAVING min(k.account) = max(k.account)
