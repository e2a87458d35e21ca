-- How many deployments has each scope in each period, and how long did failures last?
--
-- Grain:  one row per project, scope and period with a deployment
-- Source: dora.scoped_deployments, base.periods_by_day
--
-- Rules:
-- * A deployment counts in the period in which it finished.
-- * Percentiles are interpolated between sorted values. DataFusion's percentile_cont would sort them again for each
--   percentile, and it interpolates in steps of a millionth of the distance between two values.
--
-- incremental: project by project_name
WITH deployments AS (
    SELECT
        *,
        cast(floor(floor(extract(EPOCH FROM finished_date)) / 86400) AS bigint) AS utc_day
    FROM dora.scoped_deployments
    WHERE finished_date IS NOT NULL
),

distributions AS (
    SELECT
        d.project_name,
        d.scope,
        d.scope_id,
        b.period,
        b.period_start,
        count(*) FILTER (WHERE d.is_success) AS successes,
        count(*) FILTER (WHERE d.is_release) AS releases,
        count(*) FILTER (WHERE d.is_reached) AS reached,
        count(*) FILTER (WHERE d.is_failed) AS failed,
        count(*) FILTER (WHERE d.is_rework) AS rework,
        count(d.recovery_seconds) AS recovered,
        array_agg(d.recovery_seconds ORDER BY d.recovery_seconds NULLS FIRST)
        FILTER (WHERE d.recovery_seconds IS NOT NULL) AS recoveries_sorted,
        cast(sum(d.recovery_seconds) AS double) / nullif(count(d.recovery_seconds), 0) AS recovery_mean
    FROM deployments AS d
    INNER JOIN base.periods_by_day AS b
        ON b.project_name = d.project_name AND b.utc_day = d.utc_day
            AND d.finished_date >= b.period_start AND d.finished_date < b.period_end
    GROUP BY d.project_name, d.scope, d.scope_id, b.period, b.period_start
),

ranks AS (
    SELECT
        *,
        cast(recoveries_sorted[cast(floor((recovered - 1) / 2.0) AS bigint) + 1] AS double) AS median_below,
        cast(recoveries_sorted[cast(ceil((recovered - 1) / 2.0) AS bigint) + 1] AS double) AS median_above,
        cast(recoveries_sorted[cast(floor(3 * (recovered - 1) / 4.0) AS bigint) + 1] AS double) AS p75_below,
        cast(recoveries_sorted[cast(ceil(3 * (recovered - 1) / 4.0) AS bigint) + 1] AS double) AS p75_above,
        cast(recoveries_sorted[cast(floor(9 * (recovered - 1) / 10.0) AS bigint) + 1] AS double) AS p90_below,
        cast(recoveries_sorted[cast(ceil(9 * (recovered - 1) / 10.0) AS bigint) + 1] AS double) AS p90_above
    FROM distributions
)

SELECT
    project_name,
    scope,
    scope_id,
    period,
    period_start,
    successes,
    releases,
    reached,
    failed,
    rework,
    recovered,
    median_below + (median_above - median_below) * ((recovered - 1) % 2) / 2.0 AS recovery_median,
    p75_below + (p75_above - p75_below) * (3 * (recovered - 1) % 4) / 4.0 AS recovery_p75,
    p90_below + (p90_above - p90_below) * (9 * (recovered - 1) % 10) / 10.0 AS recovery_p90,
    recovery_mean
FROM ranks
