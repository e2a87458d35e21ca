-- How are the releases of each scope spread over the days of each period?
--
-- Grain:  one row per project, scope and period longer than a day
-- Source: metrics.dora_deployment_figures, metrics.dora_scopes; config.buckets has the periods and their days
--
-- Rules:
-- * Days without a release count as 0.
-- * Percentiles are interpolated between sorted values. DataFusion's percentile_cont would sort them again for each
--   percentile, and it interpolates in steps of a millionth of the distance between two values.
--
-- incremental: project by project_name
WITH day_counts AS (
    SELECT
        project_name,
        scope,
        scope_id,
        period_start AS day_start,
        releases AS n
    FROM metrics.dora_deployment_figures
    WHERE period = 'day' AND releases > 0
),

days_of_periods AS (
    SELECT
        b.project_name,
        b.period,
        b.period_start,
        d.period_start AS day_start
    FROM config.buckets AS b
    INNER JOIN config.buckets AS d
        ON d.project_name = b.project_name AND d.period_start >= b.period_start AND d.period_start < b.period_end
    WHERE d.period = 'day' AND b.period <> 'day'
),

distributions AS (
    SELECT
        s.project_name,
        s.scope,
        s.scope_id,
        p.period,
        p.period_start,
        count(*) AS days,
        count(c.n) AS busy_days,
        array_agg(coalesce(c.n, 0) ORDER BY coalesce(c.n, 0) NULLS FIRST) AS counts_sorted,
        cast(coalesce(sum(c.n), 0) AS double) / count(*) AS daily_mean
    FROM metrics.dora_scopes AS s
    INNER JOIN days_of_periods AS p ON p.project_name = s.project_name
    LEFT JOIN day_counts AS c
        ON c.project_name = s.project_name AND c.scope = s.scope AND c.scope_id = s.scope_id
            AND c.day_start = p.day_start
    GROUP BY s.project_name, s.scope, s.scope_id, p.period, p.period_start
),

ranks AS (
    SELECT
        *,
        cast(counts_sorted[cast(floor((days - 1) / 2.0) AS bigint) + 1] AS double) AS median_below,
        cast(counts_sorted[cast(ceil((days - 1) / 2.0) AS bigint) + 1] AS double) AS median_above,
        cast(counts_sorted[cast(floor(3 * (days - 1) / 4.0) AS bigint) + 1] AS double) AS p75_below,
        cast(counts_sorted[cast(ceil(3 * (days - 1) / 4.0) AS bigint) + 1] AS double) AS p75_above,
        cast(counts_sorted[cast(floor(9 * (days - 1) / 10.0) AS bigint) + 1] AS double) AS p90_below,
        cast(counts_sorted[cast(ceil(9 * (days - 1) / 10.0) AS bigint) + 1] AS double) AS p90_above
    FROM distributions
)

SELECT
    project_name,
    scope,
    scope_id,
    period,
    period_start,
    busy_days,
    median_below + (median_above - median_below) * ((days - 1) % 2) / 2.0 AS daily_median,
    p75_below + (p75_above - p75_below) * (3 * (days - 1) % 4) / 4.0 AS daily_p75,
    p90_below + (p90_above - p90_below) * (9 * (days - 1) % 10) / 10.0 AS daily_p90,
    daily_mean
FROM ranks
