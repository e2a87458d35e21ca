-- How often do pipelines succeed, and how long do they take, by repository and month?
SELECT
    split_part(cicd_scope_id, ':', 4) AS repository,
    substr(cast(finished_date AS varchar), 1, 7) AS month,
    count(*) AS pipelines,
    round(100.0 * count(*) FILTER (WHERE result = 'SUCCESS') / count(*), 1) AS "success %",
    round(median(duration_sec) / 60.0, 1) AS "median minutes"
FROM domain.cicd_pipelines
WHERE status = 'DONE' AND finished_date IS NOT NULL
GROUP BY cicd_scope_id, substr(cast(finished_date AS varchar), 1, 7)
ORDER BY repository, month
