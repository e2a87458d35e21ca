-- Which repositories, pipelines and boards belong to which project?
-- Grain: one row per project and scope (repository, pipelines or board)
-- Dashboard: DORA Debug, Project Mapping
-- param: project varchar[] = null   only these projects
-- Note: One row per project and scope. Bitbucket's repository, pipeline scope and board have the same id: a join on
-- it without the table multiplies rows by three.
SELECT
    m.project_name AS project,
    m."table",
    coalesce(r.name, s.name, b.name, '') AS name,
    m.row_id AS id,
    r.id IS NOT NULL OR s.id IS NOT NULL OR b.id IS NOT NULL AS collected
FROM domain.project_mapping AS m
LEFT JOIN domain.repos AS r ON m."table" = 'repos' AND r.id = m.row_id
LEFT JOIN domain.cicd_scopes AS s ON m."table" = 'cicd_scopes' AND s.id = m.row_id
LEFT JOIN domain.boards AS b ON m."table" = 'boards' AND b.id = m.row_id
WHERE $project IS NULL OR list_contains($project, m.project_name)
ORDER BY m.project_name, m."table", m.row_id
