-- In what order did production deployments and incidents happen?
-- Grain: one row per project and event: the end of a deployment, or an incident
-- Dashboard: DORA Debug, Change Failure Rate, step 2: sequence of deployments and incidents
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   happened at or after
-- param: to timestamp = null   happened before
-- Note: An incident is blamed by DevLake on the success before it, whatever it was of. One row per project and event;
-- failed deployments are shown, too. An incident that names its project itself, without a scope, is there as well;
-- DevLake has no such incidents.
WITH deployments AS (
    SELECT
        m.project_name,
        d.cicd_deployment_id AS id,
        max(d.finished_date) AS happened,
        CASE WHEN bool_and(d.result = 'SUCCESS') THEN 'deployment' ELSE 'failed deployment' END AS event,
        min(d.display_title) AS title,
        min(d.url) AS url
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.environment = 'PRODUCTION'
        AND d.result IN ('SUCCESS', 'FAILURE')
        AND d.finished_date IS NOT NULL
    GROUP BY m.project_name, d.cicd_deployment_id
),

incidents AS (
    SELECT
        x.project_name,
        i.id,
        i.created_date,
        i.resolution_date,
        i.title,
        i.url
    FROM dora.incidents AS x
    INNER JOIN domain.incidents AS i ON i.id = x.incident_id
),

events AS (
    SELECT
        project_name,
        happened,
        event,
        title,
        id,
        url
    FROM deployments
    UNION ALL
    SELECT
        project_name,
        created_date,
        'incident',
        title,
        id,
        url
    FROM incidents WHERE created_date IS NOT NULL
    UNION ALL
    SELECT
        project_name,
        resolution_date,
        'incident resolved',
        title,
        id,
        url
    FROM incidents
    WHERE resolution_date IS NOT NULL
)

SELECT
    e.project_name AS project,
    e.happened,
    e.event,
    e.title,
    e.id,
    e.url
FROM events AS e
WHERE ($project IS NULL OR list_contains($project, e.project_name))
    AND ($from IS NULL OR e.happened >= $from)
    AND ($to IS NULL OR e.happened < $to)
ORDER BY e.project_name, e.happened, e.event, e.id
