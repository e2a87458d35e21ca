-- Which durations are below zero, although no bundled query makes such values?
--
-- Grain:  one row per repository and column
-- Source: domain.issues, domain.incidents, domain.cicd_pipelines, domain.cicd_tasks, domain.cicd_deployments,
--         domain.cicd_deployment_commits, dora.commit_lead_times, dora.deployments, dora.scoped_deployments,
--         dora.incidents, dora.project_incident_deployment_relationships, dora.project_pr_metrics, metrics.dora,
--         metrics.devlake
--
-- Rules:
-- * Of a row with several such columns the first is counted. An end before its start gives no duration; a user's own
--   query or [[table]] can still provide one.
WITH durations AS (
    SELECT
        '' AS repo_id,
        CASE WHEN lead_time_minutes < 0 THEN 'domain.issues.lead_time_minutes'
            WHEN original_estimate_minutes < 0 THEN 'domain.issues.original_estimate_minutes'
            WHEN time_spent_minutes < 0 THEN 'domain.issues.time_spent_minutes'
            WHEN time_remaining_minutes < 0 THEN 'domain.issues.time_remaining_minutes'
        END AS negative
    FROM domain.issues
    UNION ALL
    SELECT
        scope_id,
        CASE WHEN lead_time_minutes < 0 THEN 'domain.incidents.lead_time_minutes'
            WHEN original_estimate_minutes < 0 THEN 'domain.incidents.original_estimate_minutes'
            WHEN time_spent_minutes < 0 THEN 'domain.incidents.time_spent_minutes'
            WHEN time_remaining_minutes < 0 THEN 'domain.incidents.time_remaining_minutes'
        END
    FROM domain.incidents
    UNION ALL
    SELECT
        cicd_scope_id,
        CASE WHEN duration_sec < 0 THEN 'domain.cicd_pipelines.duration_sec'
            WHEN queued_duration_sec < 0 THEN 'domain.cicd_pipelines.queued_duration_sec'
            WHEN build_duration_sec < 0 THEN 'domain.cicd_pipelines.build_duration_sec'
        END
    FROM domain.cicd_pipelines
    UNION ALL
    SELECT
        cicd_scope_id,
        CASE WHEN duration_sec < 0 THEN 'domain.cicd_tasks.duration_sec'
            WHEN queued_duration_sec < 0 THEN 'domain.cicd_tasks.queued_duration_sec'
            WHEN build_seconds_used < 0 THEN 'domain.cicd_tasks.build_seconds_used'
            WHEN max_minutes < 0 THEN 'domain.cicd_tasks.max_minutes'
        END
    FROM domain.cicd_tasks
    UNION ALL
    SELECT
        cicd_scope_id,
        CASE WHEN duration_sec < 0 THEN 'domain.cicd_deployments.duration_sec'
            WHEN queued_duration_sec < 0 THEN 'domain.cicd_deployments.queued_duration_sec'
        END
    FROM domain.cicd_deployments
    UNION ALL
    SELECT
        cicd_scope_id,
        CASE WHEN duration_sec < 0 THEN 'domain.cicd_deployment_commits.duration_sec'
            WHEN queued_duration_sec < 0 THEN 'domain.cicd_deployment_commits.queued_duration_sec'
        END
    FROM domain.cicd_deployment_commits
    UNION ALL
    SELECT
        repo_id,
        CASE WHEN lead_time_seconds < 0 THEN 'dora.commit_lead_times.lead_time_seconds' END
    FROM dora.commit_lead_times
    UNION ALL
    SELECT
        repo_id,
        CASE WHEN duration_sec < 0 THEN 'dora.deployments.duration_sec'
            WHEN lead_time_median_seconds < 0 THEN 'dora.deployments.lead_time_median_seconds'
            WHEN lead_time_p90_seconds < 0 THEN 'dora.deployments.lead_time_p90_seconds'
            WHEN lead_time_mean_seconds < 0 THEN 'dora.deployments.lead_time_mean_seconds'
            WHEN recovery_seconds < 0 THEN 'dora.deployments.recovery_seconds'
        END
    FROM dora.deployments
    UNION ALL
    SELECT
        '',
        CASE WHEN recovery_seconds < 0 THEN 'dora.scoped_deployments.recovery_seconds' END
    FROM dora.scoped_deployments
    UNION ALL
    SELECT
        '',
        CASE WHEN recovery_seconds < 0 THEN 'dora.incidents.recovery_seconds'
            WHEN age_seconds < 0 THEN 'dora.incidents.age_seconds'
        END
    FROM dora.incidents
    UNION ALL
    SELECT
        '',
        CASE WHEN age_seconds < 0 THEN 'dora.project_incident_deployment_relationships.age_seconds' END
    FROM dora.project_incident_deployment_relationships
    UNION ALL
    SELECT
        repo_id,
        CASE WHEN pr_coding_time < 0 THEN 'dora.project_pr_metrics.pr_coding_time'
            WHEN pr_pickup_time < 0 THEN 'dora.project_pr_metrics.pr_pickup_time'
            WHEN pr_review_time < 0 THEN 'dora.project_pr_metrics.pr_review_time'
            WHEN pr_deploy_time < 0 THEN 'dora.project_pr_metrics.pr_deploy_time'
            WHEN pr_cycle_time < 0 THEN 'dora.project_pr_metrics.pr_cycle_time'
            WHEN coding_seconds < 0 THEN 'dora.project_pr_metrics.coding_seconds'
            WHEN pickup_seconds < 0 THEN 'dora.project_pr_metrics.pickup_seconds'
            WHEN review_seconds < 0 THEN 'dora.project_pr_metrics.review_seconds'
            WHEN merge_seconds < 0 THEN 'dora.project_pr_metrics.merge_seconds'
            WHEN deploy_seconds < 0 THEN 'dora.project_pr_metrics.deploy_seconds'
            WHEN lead_time_seconds < 0 THEN 'dora.project_pr_metrics.lead_time_seconds'
        END
    FROM dora.project_pr_metrics
    UNION ALL
    SELECT
        '',
        CASE WHEN value < 0 THEN 'metrics.dora.value' END
    FROM metrics.dora
    UNION ALL
    SELECT
        '',
        CASE WHEN value < 0 THEN 'metrics.devlake.value' END
    FROM metrics.devlake
)

SELECT
    split_part(repo_id, ':', 4) AS repository,
    'duration below zero: ' || negative AS kind,
    count(*) AS n
FROM durations
WHERE negative IS NOT NULL
GROUP BY split_part(repo_id, ':', 4), negative
