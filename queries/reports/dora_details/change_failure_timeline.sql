-- In which order did deployments and incidents happen?
-- Grain: one row per event: the end of a deployment, or an incident
-- Dashboard: DORA Details - Change Failure Rate, 3 Timeline of deployments and incidents
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished or began at or after this instant
-- param: to timestamp = null   finished or began before this instant
-- Note: DevLake gives a deployment of several commits a row for each of their ends; here one row per deployment and
-- environment, of any environment, and one per incident, each once even if it is of several projects.
WITH events AS (
    SELECT
        d.finished_date AS happened,
        'deployment' AS event,
        coalesce(s.name, d.cicd_scope_id) AS repository,
        coalesce(nullif(d.display_title, ''), nullif(d.name, ''), d.id) AS title,
        coalesce(nullif(d.original_environment, ''), d.environment) AS environment,
        d.url,
        d.id
    FROM domain.cicd_deployments AS d
    LEFT JOIN domain.cicd_scopes AS s ON d.cicd_scope_id = s.id
    WHERE d.result = 'SUCCESS' AND d.finished_date IS NOT NULL
        AND ($repo IS NULL OR list_contains($repo, s.name))
        AND ($project IS NULL OR d.cicd_scope_id IN (
            SELECT m.row_id
            FROM domain.project_mapping AS m
            WHERE m."table" = 'cicd_scopes' AND list_contains($project, m.project_name)
        ))
    UNION ALL
    SELECT
        i.created_date,
        'incident',
        coalesce(b.name, i.scope_id),
        i.title,
        '',
        i.url,
        i.id
    FROM domain.incidents AS i
    LEFT JOIN domain.boards AS b ON i.scope_id = b.id
    WHERE i.created_date IS NOT NULL
        AND ($repo IS NULL OR list_contains($repo, b.name))
        AND ($project IS NULL OR EXISTS (
            SELECT 1
            FROM domain.project_mapping AS m
            WHERE m."table" = i."table" AND m.row_id = i.scope_id AND list_contains($project, m.project_name)
        ) OR list_contains($project, i.project_name))
)

SELECT
    e.happened,
    e.event,
    e.repository,
    e.title,
    e.environment,
    e.url
FROM events AS e
WHERE ($from IS NULL OR e.happened >= $from)
    AND ($to IS NULL OR e.happened < $to)
ORDER BY e.happened, e.event, e.id
