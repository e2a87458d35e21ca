-- Which teams are in the organization?
--
-- Grain:  one row per team of the CSV that [org] teams names.
-- Source: config.teams.

SELECT
    id,
    name,
    alias,
    parent_id,
    sorting_index,
    '' AS _raw_data_params,
    '' AS _raw_data_table
FROM config.teams
