-- Which production deployment did each incident follow?
--
-- Grain:  one row per project and incident that follows a production deployment
-- Source: dora.incidents, domain.incidents; domain.cicd_deployment_commits for the deployment's end
--
-- Rules:
-- * DevLake's link, found in dora.incidents: the last successful PRODUCTION deployment of the project that finished
--   before the incident began, of any repository and any age. An incident that has none, or that
--   names its project instead of belonging to one of its scopes, has no row here; dora.incidents has them all.
-- * The deployment with the best evidence is beside it; the two may differ.
--
-- incremental: project by project_name
WITH ends AS (
    SELECT
        m.project_name,
        d.cicd_deployment_id,
        d.finished_date
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.environment = 'PRODUCTION' AND d.result = 'SUCCESS'
),

last_ends AS (
    SELECT
        i.project_name,
        i.incident_id,
        max(e.finished_date) AS finished_date
    FROM dora.incidents AS i
    INNER JOIN ends AS e ON e.project_name = i.project_name AND e.cicd_deployment_id = i.devlake_deployment_id
    WHERE e.finished_date < i.created_date
    GROUP BY i.project_name, i.incident_id
)

SELECT
    i.incident_id AS id,
    i.project_name,
    i.devlake_deployment_id AS deployment_id,
    d._raw_data_params,
    d._raw_data_table,
    cast(floor(extract(EPOCH FROM i.created_date)) - floor(extract(EPOCH FROM e.finished_date)) AS bigint)
        AS age_seconds,
    i.deployment_id AS attributed_deployment_id,
    i.evidence
FROM dora.incidents AS i
INNER JOIN last_ends AS e ON e.project_name = i.project_name AND e.incident_id = i.incident_id
INNER JOIN domain.incidents AS d ON d.id = i.incident_id
WHERE i.devlake_deployment_id <> ''
