-- How long does a pipeline take?
-- Grain: one row
-- Dashboard: BitBucket, 3.6 Mean pipeline duration
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- Note: pipelines that never ran (a broken configuration) have no duration and are left out; DevLake counts them as 0
-- and drops the first month. From creation to end, so a pause before a manual step counts; the build minutes are the
-- sum of the steps.
SELECT
    count(*) AS pipelines,
    round(avg(p.duration_sec) / 6.0) / 10 AS "mean minutes",
    round(median(p.duration_sec) / 6.0) / 10 AS "median minutes",
    round(avg(p.build_duration_sec) / 6.0) / 10 AS "mean build minutes"
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
    AND p.duration_sec > 0
ORDER BY 1
