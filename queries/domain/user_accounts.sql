-- Which accounts belong to which person?
--
-- Grain:  one row per account of the CSV that [org] user_account_mapping names.
-- Source: config.user_account_mapping.
--
-- Rules:
-- * A row without a user id is an account nobody has claimed yet: left out. Nothing is matched by name or e-mail.

SELECT
    user_id,
    id AS account_id,
    '' AS _raw_data_params,
    '' AS _raw_data_table
FROM config.user_account_mapping
WHERE user_id <> ''
