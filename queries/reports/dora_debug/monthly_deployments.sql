-- Do the deployments of each period agree with the published figure?
-- Grain: one row per project and period
-- Dashboard: DORA Debug, Deployment Frequency, step 5: deployments per month
-- param: project varchar[] = null   only these projects
-- param: interval varchar = month   one of: day, week, month, all
-- Note: Counted from domain.cicd_deployment_commits, beside metrics.dora. The first, second, … success of a pipeline in
-- each production environment is one release, at the time of the first environment. Periods are those of the project's
-- time zone (config.buckets), so that each row can be laid beside its row of metrics.dora. DevLake's stored figures are
-- for months and all.
WITH deployments AS (
    SELECT
        m.project_name,
        d.cicd_scope_id,
        d.cicd_deployment_id,
        coalesce(nullif(d.pipeline_id, ''), d.cicd_deployment_id) AS origin,
        coalesce(d.original_environment, '') AS original_environment,
        max(d.finished_date) AS finished_date
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.result = 'SUCCESS'
        AND d.environment = 'PRODUCTION'
        AND d.finished_date IS NOT NULL
        AND ($project IS NULL OR list_contains($project, m.project_name))
    GROUP BY 1, 2, 3, 4, 5
),

rollouts AS (
    SELECT
        d.*,
        row_number() OVER (
            PARTITION BY d.project_name, d.cicd_scope_id, d.origin, d.original_environment
            ORDER BY d.finished_date, d.cicd_deployment_id
        ) AS rollout
    FROM deployments AS d
),

production AS (
    SELECT
        r.project_name,
        r.origin,
        r.rollout,
        min(r.finished_date) AS finished_date
    FROM rollouts AS r
    GROUP BY r.project_name, r.cicd_scope_id, r.origin, r.rollout
),

counts AS (
    SELECT
        b.project_name,
        b.period_start,
        b.label,
        b.is_complete,
        count(p.origin) AS deployments,
        count(DISTINCT cast(p.finished_date AS date)) AS days
    FROM config.buckets AS b
    LEFT JOIN production AS p
        ON p.project_name = b.project_name AND p.finished_date >= b.period_start AND p.finished_date < b.period_end
    WHERE b.period = $interval AND ($project IS NULL OR list_contains($project, b.project_name))
    GROUP BY b.project_name, b.period_start, b.label, b.is_complete
)

SELECT
    c.project_name AS project,
    c.label AS period,
    c.deployments AS counted,
    f.n AS published,
    c.days AS "UTC days with one",
    f.numerator AS "published days",
    f.devlake_2023 AS devlake,
    NOT c.is_complete AS partial,
    coalesce(f.reason, '') AS note
FROM counts AS c
LEFT JOIN metrics.dora AS f
    ON f.project_name = c.project_name AND f.scope = 'project' AND f.metric = 'deployment_frequency'
        AND f.period = $interval AND f.period_start = c.period_start
ORDER BY c.project_name, c.period_start
