-- How many rows does each figure of the window rest on, and how many were left out, and why?
--
-- Grain:  one row per project, figure, kind of row, and reason
-- Source: dora.deployments, dora.project_pr_metrics, dora.incidents, domain.cicd_deployment_commits; the window is
--         config.buckets'
--
-- Rules:
-- * reason is counted, or why a row was looked at and left out. A figure's counted rows are its n in metrics.dora.
-- * A further environment of a release that is counted already is the same release for the frequency.
-- * Deployments to production, or to an environment that nobody knows, are looked at; those to other environments are
--   not, nor releases that wait to be deployed. Left out: no environment (unknown), not finished, no outcome, no end, same release (another row is the
--   deployment). Failures count in the failure rate alone, where they are known to have done harm in production.
-- * Changes: merged pull requests, by the time they were deployed, or merged where they were not.
-- * Incidents: a rate is too low by those that no deployment was found for.
-- * Failures: recovered ones count in recovery time.
WITH windows AS (
    SELECT project_name, period_start AS window_start, period_end AS window_end
    FROM config.buckets
    WHERE period = 'all'
),
ended AS (
    SELECT
        d.project_name,
        d.outcome = 'SUCCESS' AS is_success,
        coalesce(d.release_position, 1) > 1 AS is_further,
        d.is_failed,
        d.recovery_seconds IS NOT NULL AS has_recovered
    FROM dora.deployments AS d
    JOIN windows AS w
      ON w.project_name = d.project_name AND d.finished_date >= w.window_start AND d.finished_date < w.window_end
),
left_out AS (
    SELECT
        m.project_name,
        CASE WHEN c.environment = '' THEN 'no environment'
             WHEN c.is_running THEN 'not finished'
             WHEN c.result = '' THEN 'no outcome'
             WHEN c.finished_date IS NULL THEN 'no end'
             ELSE 'same release' END AS reason
    FROM (
        SELECT
            cicd_scope_id, cicd_deployment_id, original_environment,
            max(environment) AS environment,
            bool_or(status = 'IN_PROGRESS') AS is_running,
            max(result) AS result,
            max(finished_date) AS finished_date,
            max(coalesce(finished_date, started_date, created_date)) AS happened
        FROM domain.cicd_deployment_commits
        WHERE environment IN ('PRODUCTION', '')
          AND (result <> '' OR started_date IS NOT NULL OR finished_date IS NOT NULL)
        GROUP BY cicd_scope_id, cicd_deployment_id, original_environment
    ) AS c
    JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = c.cicd_scope_id
    JOIN windows AS w ON w.project_name = m.project_name
    WHERE (c.happened IS NULL OR c.happened >= w.window_start AND c.happened < w.window_end)
      AND NOT EXISTS (
          SELECT 1
          FROM dora.deployments AS d
          WHERE d.project_name = m.project_name AND d.deployment_id = c.cicd_deployment_id
            AND d.environment = c.original_environment
      )
),
looked_at AS (
    SELECT
        project_name, m.metric, 'deployments' AS kind,
        CASE WHEN NOT is_success THEN 'failed'
             WHEN is_further AND m.metric = 'deployment_frequency' THEN 'same release'
             ELSE 'counted' END AS reason
    FROM ended
    CROSS JOIN (VALUES ('deployment_frequency'), ('deployment_rework_rate')) AS m(metric)
    UNION ALL
    SELECT
        project_name, 'change_failure_rate', 'deployments',
        CASE WHEN is_success OR is_failed THEN 'counted' ELSE 'failed before production' END
    FROM ended
    UNION ALL
    SELECT l.project_name, m.metric, 'deployments', l.reason
    FROM left_out AS l
    CROSS JOIN (
        VALUES ('deployment_frequency'), ('deployment_rework_rate'), ('change_failure_rate')
    ) AS m(metric)
    UNION ALL
    SELECT
        project_name, 'failed_deployment_recovery_time', 'failures',
        CASE WHEN has_recovered THEN 'counted' ELSE 'not recovered' END
    FROM ended
    WHERE is_failed
    UNION ALL
    SELECT
        p.project_name, 'change_lead_time', 'changes',
        coalesce(
            p.exclusion_reason,
            CASE WHEN p.deployed_date IS NOT NULL AND p.lead_time_seconds IS NOT NULL THEN 'counted'
                 ELSE 'no lead time' END
        )
    FROM dora.project_pr_metrics AS p
    JOIN windows AS w
      ON w.project_name = p.project_name
     AND coalesce(p.deployed_date, p.pr_merged_date) >= w.window_start
     AND coalesce(p.deployed_date, p.pr_merged_date) < w.window_end
    UNION ALL
    SELECT
        i.project_name, 'change_failure_rate', 'incidents',
        CASE WHEN i.deployment_id <> '' THEN 'counted' ELSE coalesce(i.unlinked_reason, 'unlinked') END
    FROM dora.incidents AS i
    JOIN windows AS w ON w.project_name = i.project_name
    WHERE i.created_date IS NULL OR i.created_date >= w.window_start AND i.created_date < w.window_end
)
SELECT
    project_name,
    metric,
    kind,
    reason,
    count(*) AS n,
    cast(count(*) AS double) / sum(count(*)) OVER (PARTITION BY project_name, metric, kind) AS share
FROM looked_at
GROUP BY project_name, metric, kind, reason
