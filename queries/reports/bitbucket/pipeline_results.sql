-- What was the outcome of the pipelines that finished?
-- Grain: one row per result and the result that Bitbucket reports
-- Dashboard: BitBucket, 3.4 Distribution of pipeline results
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- Note: DevLake shows everything that is no success or failure as Unknown; here Bitbucket's own word is shown beside
-- it.
WITH ended AS (
    SELECT
        CASE WHEN p.result = '' THEN 'UNKNOWN' ELSE p.result END AS result,
        p.original_result
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
    result,
    original_result AS "in bitbucket's words",
    count(*) AS pipelines,
    round(1000.0 * count(*) / sum(count(*)) OVER ()) / 10 AS "share %"
FROM ended
GROUP BY result, original_result
ORDER BY count(*) DESC, result, original_result
