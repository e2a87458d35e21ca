-- Does the published failure rate follow from deployments and incidents?
-- Grain: one row per project and period
-- Dashboard: DORA Debug, Change Failure Rate, step 4 (figure 7)
-- param: project varchar[] = null   only these projects
-- param: interval varchar = month   one of: day, week, month, all
-- Note: DevLake's figure compares an id with NULL and is 0 % always. Here `DevLake's %` is its rule as meant:
-- production successes with an incident of the project that still exists, over all of them; the stored one takes
-- links of other projects, too. `failed` is by evidence: incident, rollback or reactive change. Periods are those of
-- the project's time zone (config.buckets), so that each row can be laid beside its row of metrics.dora. DevLake's
-- stored figures are for months and all.
WITH production AS (
    SELECT
        m.project_name,
        d.cicd_deployment_id,
        max(d.finished_date) AS finished_date
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.result = 'SUCCESS'
        AND d.environment = 'PRODUCTION'
        AND d.finished_date IS NOT NULL
        AND ($project IS NULL OR list_contains($project, m.project_name))
    GROUP BY m.project_name, d.cicd_deployment_id
),

blamed AS (
    SELECT DISTINCT
        r.project_name,
        r.deployment_id
    FROM dora.project_incident_deployment_relationships AS r
    INNER JOIN domain.incidents AS i ON i.id = r.id
),

devlake AS (
    SELECT
        b.project_name,
        b.period_start,
        count(*) AS deployments,
        count(x.deployment_id) AS blamed
    FROM production AS p
    INNER JOIN config.buckets AS b
        ON b.project_name = p.project_name AND b.period = $interval
            AND p.finished_date >= b.period_start AND p.finished_date < b.period_end
    LEFT JOIN blamed AS x ON x.project_name = p.project_name AND x.deployment_id = p.cicd_deployment_id
    GROUP BY b.project_name, b.period_start
),

evidence AS (
    SELECT
        b.project_name,
        b.period_start,
        count(*) FILTER (WHERE d.outcome = 'SUCCESS' OR d.is_failed) AS deployments,
        count(*) FILTER (WHERE d.is_failed) AS failed
    FROM dora.deployments AS d
    INNER JOIN config.buckets AS b
        ON b.project_name = d.project_name AND b.period = $interval
            AND d.finished_date >= b.period_start AND d.finished_date < b.period_end
    GROUP BY b.project_name, b.period_start
)

SELECT
    b.project_name AS project,
    b.label AS period,
    coalesce(v.deployments, 0) AS "DevLake's deployments",
    coalesce(v.blamed, 0) AS "with incident",
    round(1000.0 * v.blamed / nullif(v.deployments, 0)) / 10.0 AS "DevLake's %",
    round(10 * 100 * f.devlake_2023) / 10.0 AS "DevLake's stored %",
    coalesce(e.deployments, 0) AS "reached production",
    coalesce(e.failed, 0) AS failed,
    round(1000.0 * e.failed / nullif(e.deployments, 0)) / 10.0 AS "failed %",
    round(10 * 100 * f.value) / 10.0 AS "published %",
    NOT b.is_complete AS partial,
    coalesce(f.reason, f.note, '') AS note
FROM config.buckets AS b
LEFT JOIN devlake AS v ON v.project_name = b.project_name AND v.period_start = b.period_start
LEFT JOIN evidence AS e ON e.project_name = b.project_name AND e.period_start = b.period_start
LEFT JOIN metrics.dora AS f
    ON f.project_name = b.project_name AND f.scope = 'project' AND f.metric = 'change_failure_rate'
        AND f.period = b.period AND f.period_start = b.period_start
WHERE b.period = $interval AND ($project IS NULL OR list_contains($project, b.project_name))
ORDER BY b.project_name, b.period_start
