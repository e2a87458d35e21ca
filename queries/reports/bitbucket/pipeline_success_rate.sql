-- How many of the pipelines that finished succeeded?
-- Grain: one row
-- Dashboard: BitBucket, 3.2 Pipeline success rate
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- Note: pipelines that were stopped or expired neither succeeded nor failed: they are in `other`, not in the rate.
-- DevLake divides by all of them (`of all %`) and drops the first month; it paints 90 % and more green.
WITH ended AS (
    SELECT
        CASE
            WHEN p.result = 'SUCCESS' THEN 'success'
            WHEN p.result = 'FAILURE' AND p.original_result <> 'STOPPED' THEN 'failure'
            ELSE 'other'
        END AS outcome
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
)

SELECT
    count(*) AS pipelines,
    count(*) FILTER (WHERE x.outcome = 'success') AS successful,
    count(*) FILTER (WHERE x.outcome = 'failure') AS failed,
    count(*) FILTER (WHERE x.outcome = 'other') AS other,
    round(
        1000.0 * count(*) FILTER (WHERE x.outcome = 'success') / nullif(count(*) FILTER (WHERE x.outcome <> 'other'), 0)
    )
    / 10
        AS "success %",
    round(1000.0 * count(*) FILTER (WHERE x.outcome = 'success') / nullif(count(*), 0)) / 10 AS "of all %"
FROM ended AS x
ORDER BY 1
