-- How long did the changes of each scope take that were deployed in each period?
--
-- Grain:  one row per project, scope and period in which a counted change was deployed
-- Source: dora.project_pr_metrics, dora.team_changes, base.periods_by_day
--
-- Rules:
-- * A change counts in the period in which its deployment finished, unless exclusion_reason excludes it.
-- * Percentiles are interpolated between sorted values. DataFusion's percentile_cont would sort them again for each
--   percentile, and it interpolates in steps of a millionth of the distance between two values.
--
-- incremental: project by project_name
WITH changes AS (
    SELECT
        project_name,
        id,
        repo_id,
        deployed_date,
        cast(floor(floor(extract(EPOCH FROM deployed_date)) / 86400) AS bigint) AS utc_day,
        lead_time_seconds
    FROM dora.project_pr_metrics
    WHERE exclusion_reason IS NULL AND deployed_date IS NOT NULL AND lead_time_seconds IS NOT NULL
),

scoped_changes AS (
    SELECT
        'project' AS scope,
        project_name AS scope_id,
        c.*
    FROM changes AS c
    UNION ALL
    SELECT
        'repository' AS scope,
        repo_id AS scope_id,
        c.*
    FROM changes AS c
    UNION ALL
    SELECT
        'team' AS scope,
        t.team_id AS scope_id,
        c.*
    FROM changes AS c
    INNER JOIN dora.team_changes AS t ON t.project_name = c.project_name AND t.pull_request_id = c.id
),

distributions AS (
    SELECT
        c.project_name,
        c.scope,
        c.scope_id,
        b.period,
        b.period_start,
        count(*) AS changes,
        array_agg(c.lead_time_seconds ORDER BY c.lead_time_seconds NULLS FIRST) AS leads_sorted,
        cast(sum(c.lead_time_seconds) AS double) / count(*) AS lead_mean
    FROM scoped_changes AS c
    INNER JOIN base.periods_by_day AS b
        ON b.project_name = c.project_name AND b.utc_day = c.utc_day
            AND c.deployed_date >= b.period_start AND c.deployed_date < b.period_end
    GROUP BY c.project_name, c.scope, c.scope_id, b.period, b.period_start
),

ranks AS (
    SELECT
        *,
        cast(leads_sorted[cast(floor((changes - 1) / 2.0) AS bigint) + 1] AS double) AS median_below,
        cast(leads_sorted[cast(ceil((changes - 1) / 2.0) AS bigint) + 1] AS double) AS median_above,
        cast(leads_sorted[cast(floor(3 * (changes - 1) / 4.0) AS bigint) + 1] AS double) AS p75_below,
        cast(leads_sorted[cast(ceil(3 * (changes - 1) / 4.0) AS bigint) + 1] AS double) AS p75_above,
        cast(leads_sorted[cast(floor(9 * (changes - 1) / 10.0) AS bigint) + 1] AS double) AS p90_below,
        cast(leads_sorted[cast(ceil(9 * (changes - 1) / 10.0) AS bigint) + 1] AS double) AS p90_above
    FROM distributions
)

SELECT
    project_name,
    scope,
    scope_id,
    period,
    period_start,
    changes,
    median_below + (median_above - median_below) * ((changes - 1) % 2) / 2.0 AS lead_median,
    p75_below + (p75_above - p75_below) * (3 * (changes - 1) % 4) / 4.0 AS lead_p75,
    p90_below + (p90_above - p90_below) * (9 * (changes - 1) % 10) / 10.0 AS lead_p90,
    lead_mean
FROM ranks
