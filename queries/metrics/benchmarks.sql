-- Which bands does DORA publish, and which does DevLake use, as numbers?
--
-- Grain:  one row per source, report year, figure and band
-- Source: DORA's reports of 2021 to 2024; DevLake's dashboards, for their reports 2021 and 2023. The report of 2025 has
--         no bands any more, so it has no rows.
--
-- Rules:
-- * Where a report gives one number for a cluster (5%), lower and upper are that number: it is the value of the
--   cluster, not a limit. So clusters need not be in order: in 2024 the high cluster fails more often than the medium
--   one.
-- * A month has 30 days and six months have 180, as in DevLake. On demand is more often than once a day.
-- * Recovery is the time to restore service in 2021 and 2022, since 2023 the recovery of failed deployments.
-- * DevLake counts days with a deployment, in its medians by week, month and six months, and tests elite first; see
--   metrics.devlake. A number that is not below a bound of lead or recovery time is in the next band.
-- * provenance states for every row whether it was compared with a published page or still has to be checked.
SELECT
    year,
    metric,
    band,
    source,
    cast(lower_bound AS double) AS lower,
    cast(upper_bound AS double) AS upper,
    lower_inclusive,
    upper_inclusive,
    unit,
    text,
    cast(cluster_share AS double) AS cluster_share,
    CASE provenance
        WHEN 'coded' THEN 'DevLake''s dashboards (source of May 2026), as coded'
        WHEN
            'checked'
            THEN 'Accelerate State of DevOps Report '
                || cast(year AS varchar)
                || ', dora.dev; compared with a published page'
        ELSE 'Accelerate State of DevOps Report '
            || cast(year AS varchar)
            || ', dora.dev; recalled, not compared with the report'
    END || CASE WHEN cluster_share IS NULL THEN ''
        WHEN provenance = 'checked' OR year = 2024 THEN '; share compared'
        ELSE '; share recalled'
    END AS provenance
FROM (
    VALUES
    (
        2021, 'deployment_frequency', 'elite', 'dora', 1.0, NULL, FALSE, FALSE, 'deployments/day',
        'On demand (several deployments a day)', NULL, 'recalled'
    ),
    (
        2021, 'deployment_frequency', 'high', 'dora', 1 / 30.0, 1 / 7.0, TRUE, TRUE, 'deployments/day',
        'Between once per week and once per month', NULL, 'recalled'
    ),
    (
        2021, 'deployment_frequency', 'medium', 'dora', 1 / 180.0, 1 / 30.0, TRUE, TRUE, 'deployments/day',
        'Between once per month and once every six months', NULL, 'recalled'
    ),
    (
        2021, 'deployment_frequency', 'low', 'dora', NULL, 1 / 180.0, FALSE, FALSE, 'deployments/day',
        'Fewer than once per six months', NULL, 'recalled'
    ),
    (
        2021, 'change_lead_time', 'elite', 'dora', NULL, 3600.0, FALSE, FALSE, 'seconds',
        'Less than one hour', NULL, 'recalled'
    ),
    (
        2021, 'change_lead_time', 'high', 'dora', 86400.0, 604800.0, TRUE, TRUE, 'seconds',
        'Between one day and one week', NULL, 'recalled'
    ),
    (
        2021, 'change_lead_time', 'medium', 'dora', 2592000.0, 15552000.0, TRUE, TRUE, 'seconds',
        'Between one month and six months', NULL, 'recalled'
    ),
    (
        2021, 'change_lead_time', 'low', 'dora', 15552000.0, NULL, FALSE, FALSE, 'seconds',
        'More than six months', NULL, 'recalled'
    ),
    (
        2021, 'change_failure_rate', 'elite', 'dora', 0.00, 0.15, TRUE, TRUE, 'ratio',
        '0%-15%', NULL, 'recalled'
    ),
    (
        2021, 'change_failure_rate', 'high', 'dora', 0.16, 0.30, TRUE, TRUE, 'ratio',
        '16%-30%', NULL, 'recalled'
    ),
    (
        2021, 'change_failure_rate', 'medium', 'dora', 0.16, 0.30, TRUE, TRUE, 'ratio',
        '16%-30%', NULL, 'recalled'
    ),
    (
        2021, 'change_failure_rate', 'low', 'dora', 0.16, 0.30, TRUE, TRUE, 'ratio',
        '16%-30%', NULL, 'recalled'
    ),
    (
        2021, 'failed_deployment_recovery_time', 'elite', 'dora', NULL, 3600.0, FALSE, FALSE, 'seconds',
        'Less than one hour', NULL, 'recalled'
    ),
    (
        2021, 'failed_deployment_recovery_time', 'high', 'dora', NULL, 86400.0, FALSE, FALSE, 'seconds',
        'Less than one day', NULL, 'recalled'
    ),
    (
        2021, 'failed_deployment_recovery_time', 'medium', 'dora', 86400.0, 604800.0, TRUE, TRUE, 'seconds',
        'Between one day and one week', NULL, 'recalled'
    ),
    (
        2021, 'failed_deployment_recovery_time', 'low', 'dora', 15552000.0, NULL, FALSE, FALSE, 'seconds',
        'More than six months', NULL, 'recalled'
    ),
    (
        2022, 'deployment_frequency', 'high', 'dora', 1.0, NULL, FALSE, FALSE, 'deployments/day',
        'On demand (several deployments a day)', NULL, 'recalled'
    ),
    (
        2022, 'deployment_frequency', 'medium', 'dora', 1 / 30.0, 1 / 7.0, TRUE, TRUE, 'deployments/day',
        'Between once per week and once per month', NULL, 'recalled'
    ),
    (
        2022, 'deployment_frequency', 'low', 'dora', 1 / 180.0, 1 / 30.0, TRUE, TRUE, 'deployments/day',
        'Between once per month and once every six months', NULL, 'recalled'
    ),
    (
        2022, 'change_lead_time', 'high', 'dora', 86400.0, 604800.0, TRUE, TRUE, 'seconds',
        'Between one day and one week', NULL, 'recalled'
    ),
    (
        2022, 'change_lead_time', 'medium', 'dora', 604800.0, 2592000.0, TRUE, TRUE, 'seconds',
        'Between one week and one month', NULL, 'recalled'
    ),
    (
        2022, 'change_lead_time', 'low', 'dora', 2592000.0, 15552000.0, TRUE, TRUE, 'seconds',
        'Between one month and six months', NULL, 'recalled'
    ),
    (
        2022, 'change_failure_rate', 'high', 'dora', 0.00, 0.15, TRUE, TRUE, 'ratio',
        '0%-15%', NULL, 'checked'
    ),
    (
        2022, 'change_failure_rate', 'medium', 'dora', 0.16, 0.30, TRUE, TRUE, 'ratio',
        '16%-30%', NULL, 'checked'
    ),
    (
        2022, 'change_failure_rate', 'low', 'dora', 0.46, 0.60, TRUE, TRUE, 'ratio',
        '46%-60%', NULL, 'checked'
    ),
    (
        2022, 'failed_deployment_recovery_time', 'high', 'dora', NULL, 86400.0, FALSE, FALSE, 'seconds',
        'Less than one day', NULL, 'recalled'
    ),
    (
        2022, 'failed_deployment_recovery_time', 'medium', 'dora', 86400.0, 604800.0, TRUE, TRUE, 'seconds',
        'Between one day and one week', NULL, 'recalled'
    ),
    (
        2022, 'failed_deployment_recovery_time', 'low', 'dora', 604800.0, 2592000.0, TRUE, TRUE, 'seconds',
        'Between one week and one month', NULL, 'recalled'
    ),
    (
        2023, 'deployment_frequency', 'elite', 'dora', 1.0, NULL, FALSE, FALSE, 'deployments/day',
        'On demand (several deployments a day)', 0.18, 'checked'
    ),
    (
        2023, 'deployment_frequency', 'high', 'dora', 1 / 7.0, 1.0, TRUE, TRUE, 'deployments/day',
        'Between once per day and once per week', 0.31, 'recalled'
    ),
    (
        2023, 'deployment_frequency', 'medium', 'dora', 1 / 30.0, 1 / 7.0, TRUE, TRUE, 'deployments/day',
        'Between once per week and once per month', 0.33, 'recalled'
    ),
    (
        2023, 'deployment_frequency', 'low', 'dora', 1 / 30.0, 1 / 7.0, TRUE, TRUE, 'deployments/day',
        'Between once per week and once per month', 0.17, 'recalled'
    ),
    (
        2023, 'change_lead_time', 'elite', 'dora', NULL, 86400.0, FALSE, FALSE, 'seconds',
        'Less than one day', 0.18, 'checked'
    ),
    (
        2023, 'change_lead_time', 'high', 'dora', 86400.0, 604800.0, TRUE, TRUE, 'seconds',
        'Between one day and one week', 0.31, 'recalled'
    ),
    (
        2023, 'change_lead_time', 'medium', 'dora', 604800.0, 2592000.0, TRUE, TRUE, 'seconds',
        'Between one week and one month', 0.33, 'recalled'
    ),
    (
        2023, 'change_lead_time', 'low', 'dora', 604800.0, 2592000.0, TRUE, TRUE, 'seconds',
        'Between one week and one month', 0.17, 'recalled'
    ),
    (
        2023, 'change_failure_rate', 'elite', 'dora', 0.05, 0.05, TRUE, TRUE, 'ratio',
        '5%', 0.18, 'checked'
    ),
    (
        2023, 'change_failure_rate', 'high', 'dora', 0.10, 0.10, TRUE, TRUE, 'ratio',
        '10%', 0.31, 'recalled'
    ),
    (
        2023, 'change_failure_rate', 'medium', 'dora', 0.15, 0.15, TRUE, TRUE, 'ratio',
        '15%', 0.33, 'recalled'
    ),
    (
        2023, 'change_failure_rate', 'low', 'dora', 0.64, 0.64, TRUE, TRUE, 'ratio',
        '64%', 0.17, 'recalled'
    ),
    (
        2023, 'failed_deployment_recovery_time', 'elite', 'dora', NULL, 3600.0, FALSE, FALSE, 'seconds',
        'Less than one hour', 0.18, 'checked'
    ),
    (
        2023, 'failed_deployment_recovery_time', 'high', 'dora', NULL, 86400.0, FALSE, FALSE, 'seconds',
        'Less than one day', 0.31, 'recalled'
    ),
    (
        2023, 'failed_deployment_recovery_time', 'medium', 'dora', 86400.0, 604800.0, TRUE, TRUE, 'seconds',
        'Between one day and one week', 0.33, 'recalled'
    ),
    (
        2023, 'failed_deployment_recovery_time', 'low', 'dora', 2592000.0, 15552000.0, TRUE, TRUE, 'seconds',
        'Between one month and six months', 0.17, 'recalled'
    ),
    (
        2024, 'deployment_frequency', 'elite', 'dora', 1.0, NULL, FALSE, FALSE, 'deployments/day',
        'On demand (several deployments a day)', 0.19, 'checked'
    ),
    (
        2024, 'deployment_frequency', 'high', 'dora', 1 / 7.0, 1.0, TRUE, TRUE, 'deployments/day',
        'Between once per day and once per week', 0.22, 'checked'
    ),
    (
        2024, 'deployment_frequency', 'medium', 'dora', 1 / 30.0, 1 / 7.0, TRUE, TRUE, 'deployments/day',
        'Between once per week and once per month', 0.35, 'checked'
    ),
    (
        2024, 'deployment_frequency', 'low', 'dora', 1 / 180.0, 1 / 30.0, TRUE, TRUE, 'deployments/day',
        'Between once per month and once every six months', 0.25, 'checked'
    ),
    (
        2024, 'change_lead_time', 'elite', 'dora', NULL, 86400.0, FALSE, FALSE, 'seconds',
        'Less than one day', 0.19, 'checked'
    ),
    (
        2024, 'change_lead_time', 'high', 'dora', 86400.0, 604800.0, TRUE, TRUE, 'seconds',
        'Between one day and one week', 0.22, 'checked'
    ),
    (
        2024, 'change_lead_time', 'medium', 'dora', 604800.0, 2592000.0, TRUE, TRUE, 'seconds',
        'Between one week and one month', 0.35, 'checked'
    ),
    (
        2024, 'change_lead_time', 'low', 'dora', 2592000.0, 15552000.0, TRUE, TRUE, 'seconds',
        'Between one month and six months', 0.25, 'checked'
    ),
    (
        2024, 'change_failure_rate', 'elite', 'dora', 0.05, 0.05, TRUE, TRUE, 'ratio',
        '5%', 0.19, 'checked'
    ),
    (
        2024, 'change_failure_rate', 'high', 'dora', 0.20, 0.20, TRUE, TRUE, 'ratio',
        '20%', 0.22, 'checked'
    ),
    (
        2024, 'change_failure_rate', 'medium', 'dora', 0.10, 0.10, TRUE, TRUE, 'ratio',
        '10%', 0.35, 'recalled'
    ),
    (
        2024, 'change_failure_rate', 'low', 'dora', 0.40, 0.40, TRUE, TRUE, 'ratio',
        '40%', 0.25, 'recalled'
    ),
    (
        2024, 'failed_deployment_recovery_time', 'elite', 'dora', NULL, 3600.0, FALSE, FALSE, 'seconds',
        'Less than one hour', 0.19, 'recalled'
    ),
    (
        2024, 'failed_deployment_recovery_time', 'high', 'dora', NULL, 86400.0, FALSE, FALSE, 'seconds',
        'Less than one day', 0.22, 'recalled'
    ),
    (
        2024, 'failed_deployment_recovery_time', 'medium', 'dora', NULL, 86400.0, FALSE, FALSE, 'seconds',
        'Less than one day', 0.35, 'recalled'
    ),
    (
        2024, 'failed_deployment_recovery_time', 'low', 'dora', 604800.0, 2592000.0, TRUE, TRUE, 'seconds',
        'Between one week and one month', 0.25, 'recalled'
    ),
    (
        2021, 'deployment_frequency', 'elite', 'devlake', 5.0, NULL, TRUE, FALSE, 'deployment days/week',
        'On-demand(elite)', NULL, 'coded'
    ),
    (
        2021, 'deployment_frequency', 'high', 'devlake', 1.0, NULL, TRUE, FALSE, 'deployment days/month',
        'Between once per day and once per month(high)', NULL, 'coded'
    ),
    (
        2021, 'deployment_frequency', 'medium', 'devlake', 1.0, NULL, TRUE, FALSE, 'deployment days/six months',
        'Between once per month and once every 6 months(medium)', NULL, 'coded'
    ),
    (
        2021, 'deployment_frequency', 'low', 'devlake', NULL, 1.0, FALSE, FALSE, 'deployment days/six months',
        'Fewer than once per six months(low)', NULL, 'coded'
    ),
    (
        2021, 'change_lead_time', 'elite', 'devlake', NULL, 3600.0, FALSE, FALSE, 'seconds',
        'Less than one hour(elite)', NULL, 'coded'
    ),
    (
        2021, 'change_lead_time', 'high', 'devlake', 3600.0, 604800.0, TRUE, FALSE, 'seconds',
        'Less than one week(high)', NULL, 'coded'
    ),
    (
        2021, 'change_lead_time', 'medium', 'devlake', 604800.0, 15552000.0, TRUE, FALSE, 'seconds',
        'Between one week and six months(medium)', NULL, 'coded'
    ),
    (
        2021, 'change_lead_time', 'low', 'devlake', 15552000.0, NULL, TRUE, FALSE, 'seconds',
        'More than six months(low)', NULL, 'coded'
    ),
    (
        2021, 'change_failure_rate', 'elite', 'devlake', NULL, 0.15, FALSE, TRUE, 'ratio',
        '0-15%(elite)', NULL, 'coded'
    ),
    (
        2021, 'change_failure_rate', 'high', 'devlake', 0.15, 0.20, FALSE, TRUE, 'ratio',
        '16%-20%(high)', NULL, 'coded'
    ),
    (
        2021, 'change_failure_rate', 'medium', 'devlake', 0.20, 0.30, FALSE, TRUE, 'ratio',
        '21%-30%(medium)', NULL, 'coded'
    ),
    (
        2021, 'change_failure_rate', 'low', 'devlake', 0.30, NULL, FALSE, FALSE, 'ratio',
        '> 30%(low)', NULL, 'coded'
    ),
    (
        2021, 'failed_deployment_recovery_time', 'elite', 'devlake', NULL, 3600.0, FALSE, FALSE, 'seconds',
        'Less than one hour(elite)', NULL, 'coded'
    ),
    (
        2021, 'failed_deployment_recovery_time', 'high', 'devlake', 3600.0, 86400.0, TRUE, FALSE, 'seconds',
        'Less than one day(high)', NULL, 'coded'
    ),
    (
        2021, 'failed_deployment_recovery_time', 'medium', 'devlake', 86400.0, 604800.0, TRUE, FALSE, 'seconds',
        'Between one day and one week(medium)', NULL, 'coded'
    ),
    (
        2021, 'failed_deployment_recovery_time', 'low', 'devlake', 604800.0, NULL, TRUE, FALSE, 'seconds',
        'More than one week(low)', NULL, 'coded'
    ),
    (
        2023, 'deployment_frequency', 'elite', 'devlake', 5.0, NULL, TRUE, FALSE, 'deployment days/week',
        'On-demand(elite)', NULL, 'coded'
    ),
    (
        2023, 'deployment_frequency', 'high', 'devlake', 1.0, 5.0, TRUE, FALSE, 'deployment days/week',
        'Between once per day and once per week(high)', NULL, 'coded'
    ),
    (
        2023, 'deployment_frequency', 'medium', 'devlake', 1.0, NULL, TRUE, FALSE, 'deployment days/month',
        'Between once per week and once per month(medium)', NULL, 'coded'
    ),
    (
        2023, 'deployment_frequency', 'low', 'devlake', NULL, 1.0, FALSE, FALSE, 'deployment days/month',
        'Fewer than once per month(low)', NULL, 'coded'
    ),
    (
        2023, 'change_lead_time', 'elite', 'devlake', NULL, 86400.0, FALSE, FALSE, 'seconds',
        'Less than one day(elite)', NULL, 'coded'
    ),
    (
        2023, 'change_lead_time', 'high', 'devlake', 86400.0, 604800.0, TRUE, FALSE, 'seconds',
        'Between one day and one week(high)', NULL, 'coded'
    ),
    (
        2023, 'change_lead_time', 'medium', 'devlake', 604800.0, 2592000.0, TRUE, FALSE, 'seconds',
        'Between one week and one month(medium)', NULL, 'coded'
    ),
    (
        2023, 'change_lead_time', 'low', 'devlake', 2592000.0, NULL, TRUE, FALSE, 'seconds',
        'More than one month(low)', NULL, 'coded'
    ),
    (
        2023, 'change_failure_rate', 'elite', 'devlake', NULL, 0.05, FALSE, TRUE, 'ratio',
        '0-5%(elite)', NULL, 'coded'
    ),
    (
        2023, 'change_failure_rate', 'high', 'devlake', 0.05, 0.10, FALSE, TRUE, 'ratio',
        '5%-10%(high)', NULL, 'coded'
    ),
    (
        2023, 'change_failure_rate', 'medium', 'devlake', 0.10, 0.15, FALSE, TRUE, 'ratio',
        '10%-15%(medium)', NULL, 'coded'
    ),
    (
        2023, 'change_failure_rate', 'low', 'devlake', 0.15, NULL, FALSE, FALSE, 'ratio',
        '> 15%(low)', NULL, 'coded'
    ),
    (
        2023, 'failed_deployment_recovery_time', 'elite', 'devlake', NULL, 3600.0, FALSE, FALSE, 'seconds',
        'Less than one hour(elite)', NULL, 'coded'
    ),
    (
        2023, 'failed_deployment_recovery_time', 'high', 'devlake', 3600.0, 86400.0, TRUE, FALSE, 'seconds',
        'Less than one day(high)', NULL, 'coded'
    ),
    (
        2023, 'failed_deployment_recovery_time', 'medium', 'devlake', 86400.0, 604800.0, TRUE, FALSE, 'seconds',
        'Between one day and one week(medium)', NULL, 'coded'
    ),
    (
        2023, 'failed_deployment_recovery_time', 'low', 'devlake', 604800.0, NULL, TRUE, FALSE, 'seconds',
        'More than one week(low)', NULL, 'coded'
    )
) AS b (
    year,
    metric,
    band,
    source,
    lower_bound,
    upper_bound,
    lower_inclusive,
    upper_inclusive,
    unit,
    text,
    cluster_share,
    provenance
)
