-- Which periods touch each day in UTC?
--
-- Grain:  one row per project, period and day in UTC that it touches
-- Source: config.buckets
--
-- Rules:
-- * utc_day counts days since 1970-01-01. With it a row is compared with the periods of its day instead of every period
--   of its project.
--
-- incremental: project by project_name
SELECT
    project_name,
    period,
    period_start,
    period_end,
    unnest(generate_series(first_utc_day, last_utc_day)) AS utc_day
FROM (
    SELECT
        project_name,
        period,
        period_start,
        period_end,
        cast(floor(floor(extract(EPOCH FROM period_start)) / 86400) AS bigint) AS first_utc_day,
        cast(floor(floor(extract(EPOCH FROM period_end)) / 86400) AS bigint) AS last_utc_day
    FROM config.buckets
) AS bounds
