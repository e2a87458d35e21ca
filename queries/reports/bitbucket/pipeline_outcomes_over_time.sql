-- How many pipelines succeeded and failed in each period?
-- Grain: one row per period
-- Dashboard: BitBucket, 3.3 Successful and failed pipeline runs
-- param: project varchar[] = null   only repositories of these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- param: interval varchar = month   one of: day, week, month, quarter, year
-- Note: DevLake counts every pipeline that did not succeed as failed; here those that were stopped or expired are
-- `other`. DevLake labels weeks by their Tuesday; here weeks bear their Monday and no period is dropped: `partial`
-- marks one that from, to or the start of collection cuts, or that was not over at the last run. Only periods with a
-- row are listed.
WITH ended AS (
    SELECT
        date_trunc($interval, p.finished_date) AS period,
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
),

known AS (
    SELECT
        greatest(min(collected_from), $from) AS known_from,
        least(max(collected_until), $to) AS known_to
    FROM metrics.collected_windows
)

SELECT
    cast(x.period AS date) AS period,
    count(*) FILTER (WHERE x.outcome = 'success') AS successful,
    count(*) FILTER (WHERE x.outcome = 'failure') AS failed,
    count(*) FILTER (WHERE x.outcome = 'other') AS other,
    coalesce(x.period < k.known_from, FALSE)
    OR coalesce(x.period >= date_trunc($interval, k.known_to), FALSE) AS partial
FROM ended AS x
CROSS JOIN known AS k
GROUP BY x.period, k.known_from, k.known_to
ORDER BY period
