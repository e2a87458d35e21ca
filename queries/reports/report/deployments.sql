-- How many production deployments went out, failed, were rolled back and recovered, by repository and period?
--
-- Grain:  one row per project, period and repository with a finished deployment
-- Source: dora.deployments; config.buckets for the periods
--
-- Rules:
-- * A deployment to several environments counts in each. failed are known to have failed in production, recovered of
--   these are mended by now; not in production finished in FAILURE without a sign of harm.
-- param: project varchar[] = null   only these projects
-- param: from timestamp = null   only periods that begin at or after this instant
-- param: to timestamp = null   only periods that end by this instant
-- param: interval varchar = month   one of: week, month; in the project's time zone
SELECT
    d.project_name AS project,
    b.label AS period,
    coalesce(r.name, d.repo_id) AS repository,
    count(*) FILTER (WHERE d.outcome = 'SUCCESS') AS deployed,
    count(*) FILTER (WHERE d.is_failed) AS failed,
    count(*) FILTER (WHERE d.is_failed AND d.recovered_date IS NOT NULL) AS recovered,
    count(*) FILTER (WHERE d.kind = 'rollback') AS rollbacks,
    count(*) FILTER (WHERE d.outcome <> 'SUCCESS' AND NOT d.is_failed) AS "not in production"
FROM dora.deployments AS d
INNER JOIN config.buckets AS b
    ON b.project_name = d.project_name AND d.finished_date >= b.period_start AND d.finished_date < b.period_end
LEFT JOIN domain.repos AS r ON r.id = d.repo_id
WHERE b.period = $interval
    AND ($project IS NULL OR list_contains($project, d.project_name))
    AND ($from IS NULL OR b.period_start >= $from)
    AND ($to IS NULL OR b.period_end <= $to)
GROUP BY d.project_name, b.period_start, b.label, coalesce(r.name, d.repo_id)
ORDER BY d.project_name, b.period_start, coalesce(r.name, d.repo_id)
