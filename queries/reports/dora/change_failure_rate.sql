-- How many of the deployments failed, and how good is that?
-- Grain: one row per project
-- Dashboard: DORA, Change failure rate
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   finished at or after this instant
-- param: to timestamp = null   finished before this instant
-- param: report bigint = 2023   report year, one of: 2021, 2023
-- Note: failed is a deployment with a linked incident, a rollback, or a change that was soon reverted or hot-fixed,
-- each once; DevLake blames the last deployment before each incident, whatever it was of and however long before.
-- Without any source of incidents the rate is unknown, unless rollbacks or reverts are evidence: then the note says
-- that it is based on them alone. DevLake shows N/A there while its database has no incident at all, and 0 %, elite,
-- once another project has one. Classes are DORA's (metrics.dora_classes). DevLake's own figure and class are shown
-- beside it, for the whole window and all repositories only.
WITH deployments AS (
    SELECT
        d.project_name,
        d.is_failed,
        d.recovery_seconds,
        d.incidents,
        d.devlake_has_incident,
        d.outcome
    FROM dora.deployments AS d
    WHERE (d.outcome = 'SUCCESS' OR d.is_failed)
        AND ($project IS NULL OR list_contains($project, d.project_name))
        AND ($repo IS NULL OR d.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR d.finished_date >= $from)
        AND ($to IS NULL OR d.finished_date < $to)
),

figures AS (
    SELECT
        d.project_name,
        count(*) AS n,
        count(*) FILTER (WHERE d.is_failed) AS failed
    FROM deployments AS d
    GROUP BY d.project_name
),

rates AS (
    SELECT
        f.project_name,
        f.reason,
        f.note,
        f.devlake_2021,
        f.devlake_2023,
        f.devlake_class_2021,
        f.devlake_class_2023,
        coalesce(x.n, 0) AS n,
        CASE WHEN f.numerator IS NOT NULL THEN coalesce(x.failed, 0) END AS failed,
        CASE WHEN f.numerator IS NOT NULL THEN cast(x.failed AS double) / nullif(x.n, 0) END AS rate
    FROM metrics.dora AS f
    LEFT JOIN figures AS x ON f.project_name = x.project_name
    WHERE f.metric = 'change_failure_rate' AND f.period = 'all' AND f.scope = 'project'
        AND ($project IS NULL OR list_contains($project, f.project_name))
)

SELECT
    f.project_name AS project,
    f.n AS deployments,
    f.failed,
    round(1000 * f.rate) / 10 AS "failure rate %",
    b.class,
    b.text AS benchmark,
    round(1000 * CASE
        WHEN $from IS NOT NULL OR $to IS NOT NULL OR $repo IS NOT NULL THEN NULL
        WHEN $report = 2021 THEN f.devlake_2021
        ELSE f.devlake_2023
    END) / 10 AS "devlake %",
    CASE
        WHEN $from IS NOT NULL OR $to IS NOT NULL OR $repo IS NOT NULL THEN NULL
        WHEN $report = 2021 THEN f.devlake_class_2021
        ELSE f.devlake_class_2023
    END AS "devlake class",
    CASE
        WHEN f.reason IS NOT NULL THEN f.reason
        WHEN f.n = 0 THEN 'no deployments'
        WHEN b.class IS NULL THEN 'too few for a class' || coalesce('; ' || f.note, '')
        ELSE coalesce(f.note, '')
    END AS note
FROM rates AS f
LEFT JOIN metrics.dora_classes AS b
    ON b.year = $report AND b.metric = 'change_failure_rate' AND f.n >= b.minimum_n
        AND (b.lower IS NULL OR f.rate > b.lower OR b.lower_inclusive AND f.rate = b.lower)
        AND (b.upper IS NULL OR f.rate < b.upper OR b.upper_inclusive AND f.rate = b.upper)
        AND f.rate IS NOT NULL
ORDER BY f.project_name
