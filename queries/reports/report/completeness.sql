-- Which lists of each project's repositories are complete, from when on, and why are the others not?
--
-- Grain:  one row per project, list, status and reason
-- Source: config.completeness, config.project_repositories
--
-- Rules:
-- * complete from is the latest of the repositories: from then on all of them have records. Empty: all records.
-- * complete until is the earliest; empty: complete up to the last run, or never.
-- * Lists that are complete everywhere come last.
-- param: project varchar[] = null   only these projects
SELECT
    p.project_name AS project,
    c.entity AS list,
    c.status,
    coalesce(c.reason, '') AS reason,
    count(*) AS repositories,
    min(c.full_name) AS "first repository",
    max(c.complete_from) AS "complete from",
    min(c.complete_through) AS "complete until"
FROM config.completeness AS c
INNER JOIN config.project_repositories AS p
    ON p.connection_id = c.connection_id AND p.full_name = c.full_name
WHERE $project IS NULL OR list_contains($project, p.project_name)
GROUP BY p.project_name, c.entity, c.status, coalesce(c.reason, '')
ORDER BY
    p.project_name,
    CASE WHEN c.status = 'complete' THEN 1 ELSE 0 END,
    c.entity,
    c.status,
    coalesce(c.reason, '')
