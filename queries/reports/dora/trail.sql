-- Which rows is a figure based on, down to the record that Bitbucket delivered?
--
-- Grain:  one row per figure and deployment or change behind it; a failed or reworked one has its evidence
-- Source: metrics.dora (the figure), dora.deployments and dora.project_pr_metrics (its rows), domain ids, and
--         bitbucket.deployments, bitbucket.pipelines and bitbucket.pull_requests (the record and its _key)
--
-- Rules:
-- * part: numerator (failed, or rework) or counted. Rows that a figure leaves out are not here;
--   metrics.coverage counts them.
-- * A row that came from elsewhere has no record.
-- param: project varchar[] = null              only these projects
-- param: metric varchar = change_failure_rate  one of the five figures
-- param: month varchar = null                  a month such as 2026-05; all months if null
WITH figures AS (
    SELECT
        project_name,
        label,
        period_start,
        period_end,
        metric,
        value,
        n,
        reason
    FROM metrics.dora
    WHERE scope = 'project' AND period = 'month' AND metric = $metric
        AND ($month IS NULL OR label = $month)
        AND ($project IS NULL OR list_contains($project, project_name))
),

deployments AS (
    SELECT
        d.project_name,
        d.finished_date AS happened,
        d.deployment_id,
        d.environment,
        d.deployment_commit_id,
        d.url,
        d.outcome = 'SUCCESS' AS is_success,
        coalesce(d.release_position, 1) = 1 AS is_release,
        d.is_failed,
        d.is_rework,
        d.failure_evidence,
        d.rework_reason,
        d.recovery_seconds,
        d.pipeline_id
    FROM dora.deployments AS d
),

rows_behind AS (
    SELECT
        f.*,
        d.happened,
        'dora.deployments' AS dora_table,
        d.deployment_id || CASE WHEN d.environment = '' THEN '' ELSE ' in ' || d.environment END AS dora_row,
        CASE WHEN $metric = 'change_failure_rate' AND d.is_failed THEN 'numerator'
            WHEN $metric = 'deployment_rework_rate' AND d.is_rework THEN 'numerator'
            ELSE 'counted'
        END AS part,
        CASE WHEN $metric = 'failed_deployment_recovery_time' THEN cast(d.recovery_seconds AS double) END AS row_value,
        CASE WHEN $metric = 'deployment_rework_rate' THEN d.rework_reason
            WHEN $metric <> 'deployment_frequency' THEN d.failure_evidence
        END AS evidence,
        'domain.cicd_deployment_commits' AS domain_table,
        d.deployment_commit_id AS domain_id,
        d.deployment_id AS record_id,
        d.pipeline_id,
        d.url
    FROM figures AS f
    INNER JOIN deployments AS d
        ON d.project_name = f.project_name AND d.happened >= f.period_start AND d.happened < f.period_end
    WHERE $metric = 'deployment_frequency' AND d.is_success AND d.is_release
        OR $metric = 'deployment_rework_rate' AND d.is_success
        OR $metric = 'change_failure_rate' AND (d.is_success OR d.is_failed)
        OR $metric = 'failed_deployment_recovery_time' AND d.is_failed AND d.recovery_seconds IS NOT NULL
    UNION ALL
    SELECT
        f.*,
        m.deployed_date AS happened,
        'dora.project_pr_metrics' AS dora_table,
        m.id AS dora_row,
        'counted' AS part,
        cast(m.lead_time_seconds AS double) AS row_value,
        m.attribution AS evidence,
        'domain.pull_requests' AS domain_table,
        m.id AS domain_id,
        m.id AS record_id,
        '' AS pipeline_id,
        coalesce(r.url, '') AS url
    FROM figures AS f
    INNER JOIN dora.project_pr_metrics AS m
        ON m.project_name = f.project_name AND m.deployed_date >= f.period_start AND m.deployed_date < f.period_end
    LEFT JOIN domain.pull_requests AS r ON r.id = m.id
    WHERE $metric = 'change_lead_time' AND m.exclusion_reason IS NULL AND m.lead_time_seconds IS NOT NULL
),

records AS (
    SELECT
        'bitbucket:BitbucketDeployment:' || cast(_connection_id AS varchar) || ':' || uuid AS record_id,
        'bitbucket.deployments' AS record_table,
        _repository,
        _key
    FROM bitbucket.deployments
    UNION ALL
    SELECT
        'bitbucket:BitbucketPipeline:' || cast(_connection_id AS varchar) || ':' || uuid AS record_id,
        'bitbucket.pipelines' AS record_table,
        _repository,
        _key
    FROM bitbucket.pipelines
    UNION ALL
    SELECT
        'bitbucket:BitbucketPullRequest:' || cast(_connection_id AS varchar) || ':' || _repository || ':'
        || cast(id AS varchar) AS record_id,
        'bitbucket.pull_requests' AS record_table,
        _repository,
        _key
    FROM bitbucket.pull_requests
)

SELECT
    b.project_name AS project,
    b.metric,
    b.label AS month,
    b.value,
    b.n,
    b.part,
    b.happened,
    b.row_value AS "seconds",
    b.evidence,
    b.dora_table AS "dora table",
    b.dora_row AS "dora row",
    b.domain_table AS "domain table",
    b.domain_id AS "domain id",
    r.record_table AS "bitbucket table",
    r._repository AS "bitbucket repository",
    r._key AS "bitbucket key",
    b.url
FROM rows_behind AS b
LEFT JOIN records AS r ON r.record_id = b.record_id
ORDER BY b.project_name, b.period_start, CASE WHEN b.part = 'numerator' THEN 0 ELSE 1 END, b.happened, b.dora_row
