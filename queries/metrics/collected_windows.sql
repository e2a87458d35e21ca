-- Since when and until when was each project collected?
--
-- Grain:  one row per project
-- Source: config.buckets
--
-- Rules:
-- * The window begins with the first period and ends with the last day that was over at the last run.
SELECT
    project_name,
    min(period_start) AS collected_from,
    max(CASE WHEN period = 'day' AND is_complete THEN period_end END) AS collected_until
FROM config.buckets
WHERE period IN ('day', 'all')
GROUP BY project_name
