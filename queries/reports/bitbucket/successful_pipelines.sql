-- How many pipelines succeeded?
-- Grain: one row
-- Dashboard: BitBucket, 3.1 Successful pipeline runs
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
SELECT
    count(*) AS "successful pipelines",
    count(DISTINCT p.cicd_scope_id) AS repositories
FROM domain.cicd_pipelines AS p
WHERE p.id LIKE 'bitbucket:%'
    AND (
        $repo IS NULL
        OR p.cicd_scope_id IN (SELECT s.id FROM domain.cicd_scopes AS s WHERE list_contains($repo, s.name))
    )
    AND ($project IS NULL OR p.cicd_scope_id IN (
        SELECT m.row_id
        FROM domain.project_mapping AS m
        WHERE m."table" = 'cicd_scopes' AND list_contains($project, m.project_name)
    ))
    AND p.finished_date IS NOT NULL
    AND ($from IS NULL OR p.finished_date >= $from)
    AND ($to IS NULL OR p.finished_date < $to)
    AND p.result = 'SUCCESS'
ORDER BY 1
