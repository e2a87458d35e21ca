-- Which figures were published when, and what were they before?
--
-- Grain:  one row per figure and run that published another value of it than the run before: rows are only added
-- Source: what was published before, and metrics.dora
--
-- Rules:
-- * Days, weeks and months that are over; the first figure of a period is recorded once there is something to count.
-- * A figure has changed when value, n or reason differ from what was recorded last, exactly, null being a value.
-- * Last is by recorded_at, then run_id.
-- param: run_id varchar = ''                              the run that publishes
-- param: recorded_at timestamp = 1970-01-01T00:00:00Z    when it started
WITH recorded AS (
    SELECT *
    FROM published.history
    QUALIFY row_number() OVER (
            PARTITION BY project_name, scope, scope_id, period, period_start, metric
            ORDER BY recorded_at DESC NULLS LAST, run_id DESC NULLS LAST
        ) = 1
)

SELECT
    project_name,
    scope,
    scope_id,
    period,
    period_start,
    metric,
    run_id,
    recorded_at,
    value,
    n,
    reason,
    previous_value,
    previous_n
FROM published.history
UNION ALL
SELECT
    d.project_name,
    d.scope,
    d.scope_id,
    d.period,
    d.period_start,
    d.metric,
    $run_id AS run_id,
    $recorded_at AS recorded_at,
    d.value,
    d.n,
    d.reason,
    r.value AS previous_value,
    r.n AS previous_n
FROM metrics.dora AS d
LEFT JOIN recorded AS r
    ON r.project_name = d.project_name AND r.scope = d.scope AND r.scope_id = d.scope_id
        AND r.period = d.period AND r.period_start = d.period_start AND r.metric = d.metric
WHERE d.period IN ('day', 'week', 'month')
    AND d.is_complete
    AND CASE WHEN r.metric IS NULL THEN d.n > 0
        ELSE (d.value IS DISTINCT FROM r.value) OR d.n <> r.n OR (d.reason IS DISTINCT FROM r.reason)
    END
