-- Which projects have a failure rate without a source of incidents, for all of the window or from a date on?
--
-- Grain:  one row per project; n is the deployments that the rate is over
-- Source: metrics.dora
SELECT
    '' AS repository,
    'failure rate of ' || project_name || ': ' || coalesce(note, reason) AS kind,
    n,
    TRUE AS is_expected
FROM metrics.dora
WHERE scope = 'project' AND period = 'all' AND metric = 'change_failure_rate'
    AND coalesce(note, reason) LIKE 'no incident source%' AND n > 0
