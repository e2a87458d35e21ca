-- Which projects are there?
--
-- Grain:  one row per project of bitlake.toml.
-- Source: config.projects.

SELECT
    name,
    '' AS description,
    '' AS _raw_data_params,
    '' AS _raw_data_table,
    timezone,
    week_start
FROM config.projects
