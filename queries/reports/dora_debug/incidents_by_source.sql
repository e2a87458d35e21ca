-- Which incidents are there, and which can be used?
-- Grain: one row per project, scope table, source and status
-- Dashboard: DORA Debug, Change Failure Rate, step 1: incidents
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   begun at or after
-- param: to timestamp = null   begun before
-- Note: An incident is a project's by its scope or by the project's name. One whose scope is in no project, and that
-- names none, is in no figure: project is empty then. One of two projects is in the rows of both.
SELECT
    coalesce(x.project_name, '') AS project,
    i."table",
    i._raw_data_table AS source,
    i.status,
    i.original_status AS "original status",
    count(*) AS incidents,
    count(i.created_date) AS "with beginning",
    count(i.resolution_date) AS resolved,
    count(i.lead_time_minutes) AS "with lead time",
    min(i.created_date) AS first,
    max(i.created_date) AS last
FROM domain.incidents AS i
LEFT JOIN dora.incidents AS x ON x.incident_id = i.id
WHERE ($project IS NULL OR list_contains($project, x.project_name))
    AND ($from IS NULL OR i.created_date >= $from)
    AND ($to IS NULL OR i.created_date < $to)
GROUP BY coalesce(x.project_name, ''), i."table", i._raw_data_table, i.status, i.original_status
ORDER BY project, i."table", source, i.status, i.original_status
