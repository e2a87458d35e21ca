-- Which people are in the organization?
--
-- Grain:  one row per person of the CSV that [org] users names.
-- Source: config.users.

SELECT
    id,
    email,
    name,
    '' AS _raw_data_params,
    '' AS _raw_data_table
FROM config.users
